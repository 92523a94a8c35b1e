"""``certpin rotate`` on a full disk, and after a crash between its writes."""

from __future__ import annotations

import os
import resource
import shutil
import signal
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from certpin.lab import Authority
from certpin.pinfile import PinSet
from certpin.pins import HostPattern, Pin
from tests import kit
from tests.cli._pinfiles import write
from tests.cli._rotating import (
    JOURNAL,
    QUICK,
    days_pass,
    history,
    invariants,
    journal,
    next_number,
    states,
    stepped,
)
from tests.cli.conftest import HOST, Run
from tests.updates.test_crashes import die_at, in_a_child

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from certpin.lab import Identity

pytestmark = pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded:DeprecationWarning"
)

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


@contextmanager
def small_files(size: int | None = None) -> Iterator[None]:
    """Let files grow up to ``size`` bytes, as on a full disk; by default the journal by 40 bytes.

    It is no fixture: pytest may write its own output to a file before a fixture ends.
    """
    limit = JOURNAL.stat().st_size + 40 if size is None else size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("step", ["start", "emergency"])
def test_a_full_disk_leaves_no_part_of_a_line_in_the_journal(out: Run, step: str) -> None:
    before = JOURNAL.read_bytes(), Path("pins.toml").read_bytes()
    words = [str(Authority("x").pin)] if step == "start" else [str(LEAF), "--stolen"]
    with small_files():
        done = out("rotate", step, *words)
    assert (done.code, "cannot be written: File too large" in done.err) == (2, True)
    assert (JOURNAL.read_bytes(), Path("pins.toml").read_bytes()) == before
    assert out("rotate", "status", *OFFLINE).code == 0


def test_a_full_disk_is_no_wrong_name_of_a_new_key(out: Run) -> None:
    with small_files(40):
        done = out("rotate", "start", "--new", "next.key")
    assert (done.code, "next.key: File too large" in done.err) == (2, True)
    assert "fix: make space on its disk" in done.err
    assert not Path("next.key").exists()


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


# Each step is killed before each of its writes, and then repeated.


@pytest.fixture
def server(run: Run, ca: Path, identity: Identity) -> Callable[..., None]:
    """Publish a pin file with the key of a server. Return a function that runs rotate commands.

    The function fails if a command does.
    """
    write(kit.policy(HOST, identity.pin, kit.NOBODY), trust=ca)

    def rotate(*words: str) -> None:
        done = run("rotate", *words)
        assert done.code == 0, done.out + done.err

    rotate("shipped", next_number(), *QUICK, *OFFLINE)
    days_pass(30)
    return rotate


def crash_everywhere(rotate: Callable[..., None], *step: str) -> None:
    """Kill a step before each of its writes in turn, and repeat it each time.

    Each time, the pin file and the journal then have the step as if it was not killed.
    """
    before, done = _copy(Path(), Path("..") / "before"), _steps()
    rotate(*step)
    expected = states(), _steps()
    assert len(expected[1]) > len(done)
    unrecorded = 0
    for moment in range(1, 100):
        _restore(before)
        died = in_a_child(partial(_killed, moment, rotate, step))
        if not died:
            assert (states(), _steps()) == expected
            break
        assert os.WTERMSIG(died) == signal.SIGKILL
        if step[0] == "start" and Path(step[2]).exists() and len(states()) == 2:
            Path(step[2]).unlink()  # a key that no file names
        if states() == expected[0] and _steps() != expected[1]:
            unrecorded += 1
        if _steps() != expected[1]:
            rotate(*step)
        assert (states(), _steps()) == expected
    else:
        pytest.fail("it never ended")
    assert unrecorded


def _killed(moment: int, rotate: Callable[..., None], step: tuple[str, ...]) -> None:
    die_at(moment, Path())
    rotate(*step)


def _copy(source: Path, target: Path) -> Path:
    shutil.rmtree(target, ignore_errors=True)
    return shutil.copytree(source, target)


def _restore(before: Path) -> None:
    for path in Path().iterdir():
        path.unlink()
    shutil.copytree(before, Path(), dirs_exist_ok=True)


def _steps() -> list[str]:
    """Return the steps in the journal, without ``generate``: a repeated step has a key already."""
    return [event.step for event in journal() if event.step != "generate"]


@pytest.mark.slow
def test_a_killed_step_is_repeated_and_recorded(
    server: Callable[..., None], intermediate: Authority
) -> None:
    crash_everywhere(server, "start", "--new", "new.key")
    pin = PinSet.load("pins.toml").policies[0].pins[-1].pin
    crash_everywhere(server, "finish", str(pin), *OFFLINE)
    server("start", "new.key")
    crash_everywhere(server, "shipped", next_number(), *OFFLINE)
    days_pass(9.2)
    crash_everywhere(server, "switch", "new.key", *OFFLINE)
    key = load_pem_private_key(Path("new.key").read_bytes(), None)
    Path("new.pem").write_bytes(intermediate.issue(HOST, key=key).chain_pem)  # type: ignore[arg-type]  # P-256
    crash_everywhere(server, "finish", *OFFLINE, "--served", f"{HOST}=new.pem")
    assert history().past(HostPattern.parse(HOST)).states[pin] == "active"


def step_without_record(rotate: Callable[..., None], *step: str) -> None:
    """Take a step, and take its lines out of the journal, as if the power failed between them."""
    before = JOURNAL.read_bytes()
    rotate(*step)
    JOURNAL.write_bytes(before)


def test_each_command_warns_of_a_step_that_the_journal_lacks(
    server: Callable[..., None], run: Run
) -> None:
    pin = Authority("x").pin
    step_without_record(server, "start", str(pin))
    for words in (("status", *OFFLINE), ("history",), ("finish", *OFFLINE)):
        warned = f"the step stage of {pin}" in run("rotate", *words).err
        assert warned is (words[0] != "history")
    server("start", str(pin))
    assert "certpin: warning" not in run("rotate", "status", *OFFLINE).err
    step_without_record(server, "finish", str(pin), *OFFLINE)
    server("start", str(pin))  # a pin that only the journal has as STAGED
    assert states() == ["active", "active", "staged"]


def test_a_switch_without_its_record_is_repaired_after_the_next_version(
    server: Callable[..., None], run: Run
) -> None:
    pin = Authority("x").pin
    server("start", str(pin))
    server("shipped", next_number(), *OFFLINE)
    days_pass(9.2)
    step_without_record(server, "switch", str(pin), *OFFLINE)
    server("start", str(Authority("y").pin))
    server("shipped", next_number(), *OFFLINE)
    warning = f"lacks it: repeat certpin rotate switch {pin}"
    assert warning in " ".join(run("rotate", "status", *OFFLINE).err.split())
    server("switch", str(pin), *OFFLINE)
    assert pin in history().activated(HostPattern.parse(HOST))
    before = JOURNAL.read_bytes()
    server("switch", str(pin), *OFFLINE)
    assert JOURNAL.read_bytes() == before


def test_a_switch_to_the_backup_without_its_record_is_repaired(
    server: Callable[..., None], run: Run, identity: Identity
) -> None:
    assert states() == ["active", "active"]  # also that of the backup
    step_without_record(server, "switch", str(kit.NOBODY), *OFFLINE)
    assert "the step activate of" in " ".join(run("rotate", "finish", *OFFLINE).err.split())
    server("switch", str(kit.NOBODY), *OFFLINE)
    assert run("rotate", "status", *OFFLINE).err == ""
    server("switch", str(identity.pin), *OFFLINE)  # ACTIVE from the first version on
    assert _steps() == ["publish", "activate"]


def test_a_removal_without_its_record_is_not_recorded_while_a_server_has_the_key(
    server: Callable[..., None], run: Run, identity: Identity, intermediate: Authority
) -> None:
    server("start", "--new", "new.key")
    server("shipped", next_number(), *OFFLINE)
    days_pass(9.2)
    server("switch", "new.key", *OFFLINE)
    key = load_pem_private_key(Path("new.key").read_bytes(), None)
    Path("new.pem").write_bytes(intermediate.issue(HOST, key=key).chain_pem)  # type: ignore[arg-type]  # P-256
    Path("old.pem").write_bytes(identity.chain_pem)
    step_without_record(server, "finish", *OFFLINE, "--served", f"{HOST}=new.pem")
    done, facts = stepped(run, "finish", *OFFLINE, "--served", f"{HOST}=old.pem")
    assert (done.code, invariants(facts)) == (1, ["still-served"])
    assert "remove" not in _steps()
    _, facts = stepped(run, "finish", str(identity.pin), *OFFLINE, "--served", f"{HOST}=new.pem")
    assert [event["step"] for event in facts["events"]] == ["retire", "remove"]
