"""A pin file that was edited by hand or merged: what ``status`` prints, and what is signed."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from certpin.pinfile import PinSet
from tests.cli._rotating import JOURNAL, days_pass, journal, states
from tests.cli.test_rotate_emergency_paths import Bank

if TYPE_CHECKING:
    from tests.cli.conftest import Run

KEYS = ("root.key", "targets.key", "online.key")
INIT = ("--root-key", KEYS[0], "--targets-key", KEYS[1], "--online-key", KEYS[2])
SERVED = ("--offline", "--served", "served.pem")
SIGN = ("publish", "sign", *KEYS, *SERVED)


@pytest.fixture
def signed(run: Run) -> Run:
    """Sign and push version 4, with two backups, a hundred days ago.

    Return the function that runs commands.
    """
    bank = Bank(run)
    assert bank("start", "--new", "c.key").code == 0
    for words in (("init", *INIT, "--url", "www"), SIGN[1:], ("push",)):
        assert run("publish", *words).code == 0
    days_pass(100)
    return run


def edit(old: str, new: str) -> None:
    """Replace a text of the pin file."""
    text = Path("pins.toml").read_text(encoding="utf-8")
    assert old in text
    Path("pins.toml").write_text(text.replace(old, new), encoding="utf-8")


def all_files() -> dict[Path, bytes]:
    """Return the content of the pin file, the journal and the folder ``publish``, by path."""
    paths = [Path("pins.toml"), JOURNAL, *Path("publish").rglob("*")]
    return {path: path.read_bytes() for path in paths if path.is_file()}


@pytest.mark.medium
@pytest.mark.parametrize("fact", ["stolen", "lost"])
@pytest.mark.parametrize("number", [5, 6])
def test_a_key_that_the_journal_records_as_stolen_or_lost_keeps_its_mark(
    signed: Run, fact: str, number: int
) -> None:
    """The mark of the key is gone from the pin file, also under the next number."""
    assert signed("rotate", "emergency", "c.key", f"--{fact}", *SERVED).code == 0
    assert signed(*SIGN).code == 0
    assert signed("publish", "push").code == 0
    state, pin = states()[-1], PinSet.load("pins.toml").policies[0].pins[-1].pin
    edit(f'"{state}"', '"active"')
    edit("version = 5", f"version = {number}")
    before = all_files()
    for words in (SIGN, ("rotate", "shipped", "6", *SERVED, "--force", "--reason", "tested")):
        refused = signed(*words)
        said = " ".join(refused.err.split())
        assert refused.code == 2
        assert f"pins.journal.jsonl records {pin} as {state.upper()}" in said
        assert f"fix: let certpin restore its state: certpin rotate emergency {pin} --" in said
        assert all_files() == before
    assert signed("publish", "sign", "online.key").code == 0  # the daily job goes on
    (host,) = signed("rotate", "status", *SERVED, "--json").json["hosts"]
    (command,) = host["next"]["commands"]
    assert command == f"certpin rotate emergency {pin} --{fact}"
    assert signed(*shlex.split(command)[1:], *SERVED).code == 0
    assert states()[-1] == state
    (host,) = signed("rotate", "status", *SERVED, "--json").json["hosts"]
    assert host["next"]["act"] != "emergency"
    assert signed(*SIGN).code == 0
    assert journal()[-1].version == 6
