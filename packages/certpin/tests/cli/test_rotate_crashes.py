"""``certpin rotate`` on a full disk, and after a crash between its writes."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from certpin.lab import Authority
from certpin.pins import Pin
from tests import kit
from tests.cli._pinfiles import write
from tests.cli._rotating import JOURNAL, days_pass, journal, next_number
from tests.cli.conftest import HOST, Run

if TYPE_CHECKING:
    from collections.abc import Iterator

OFFLINE = ("--offline",)
LEAF, BACKUP = Pin("sha256", bytes(range(7, 39))), kit.NOBODY


@pytest.fixture
def out(run: Run) -> Run:
    """Write a pin file, and publish it a hundred days ago.

    Return the function that runs commands.
    """
    write(kit.policy(HOST, LEAF, BACKUP))
    assert run("rotate", "shipped", next_number(), *OFFLINE).code == 0
    days_pass(100)
    return run


@pytest.fixture
def small_files(out: Run) -> Iterator[None]:
    """Let the journal grow by only 40 bytes, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (JOURNAL.stat().st_size + 40, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("step", ["start", "emergency"])
@pytest.mark.usefixtures("small_files")
def test_a_full_disk_leaves_no_part_of_a_line_in_the_journal(out: Run, step: str) -> None:
    before = JOURNAL.read_bytes(), Path("pins.toml").read_bytes()
    words = [str(Authority("x").pin)] if step == "start" else [str(LEAF), "--stolen"]
    done = out("rotate", step, *words)
    assert (done.code, "cannot be written: File too large" in done.err) == (2, True)
    assert (JOURNAL.read_bytes(), Path("pins.toml").read_bytes()) == before
    assert out("rotate", "status", *OFFLINE).code == 0


def test_ctrl_c_during_the_write_of_the_journal_takes_the_step_back(
    out: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = JOURNAL.read_bytes(), Path("pins.toml").read_bytes()
    real, journal_file = os.fsync, JOURNAL.stat().st_ino

    def interrupted(descriptor: int) -> None:
        grown = os.fstat(descriptor).st_size > len(before[0])
        if os.fstat(descriptor).st_ino == journal_file and grown:
            raise KeyboardInterrupt
        real(descriptor)

    monkeypatch.setattr(os, "fsync", interrupted)
    assert out("rotate", "start", str(Authority("x").pin)).code != 0
    assert (JOURNAL.read_bytes(), Path("pins.toml").read_bytes()) == before
    assert len(journal()) == 1
