"""Commands that change one pin file at the same time: they wait, and no change is lost.

Each test runs real processes, and holds one of them between two of its steps.
"""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from certpin.cli.rotate import files
from certpin.errors import PinFileError
from certpin.lab import Authority
from certpin.pinfile import PinSet
from certpin.pinfile import file as pinfile_file
from certpin.pinfile.file import PinFileChangedError, changing
from certpin.pins import Pin, utc_now
from tests import kit
from tests.cli._held import (
    APPENDS,
    DECIDES,
    LOCKS,
    MARKS,
    PROBES,
    READS,
    STARTS,
    WAITS,
    WRITES,
    Held,
)
from tests.cli._pinfiles import write
from tests.cli._rotating import journal, ship_long_ago
from tests.cli.conftest import HOST, program

if TYPE_CHECKING:
    from tests.cli.conftest import Run

OTHER, THIRD = "www.bank.example", "db.bank.example"
LEAF, BACKUP = kit.NOBODY_ELSE, kit.NOBODY
SPARE = Pin("sha256", bytes(range(2, 34)))
OFFLINE = ("--offline",)


def addition(host: str, path: str = "pins.toml") -> tuple[str, ...]:
    """Return the words of ``certpin add`` for a host with known pins: it connects to no server."""
    pins = ("--pin", str(LEAF), "--backup-pin", str(BACKUP))
    return ("add", host, *pins, "--file", path)


def hosts() -> list[str]:
    return sorted(str(policy.pattern) for policy in PinSet.load("pins.toml").policies)


def steps(name: str) -> list[str]:
    """Return the hosts of the journal's events with this step."""
    return [str(event.host) for event in journal() if event.step == name]


@pytest.fixture
def out(run: Run) -> Run:
    """Publish two hosts a hundred days ago. Return the function that runs commands."""
    write(kit.policy(HOST, LEAF, BACKUP), kit.policy(OTHER, LEAF, BACKUP))
    ship_long_ago(run)
    return run


@pytest.mark.parametrize("is_new", [True, False])
@pytest.mark.slow
def test_an_addition_waits_for_another_one(run: Run, is_new: bool) -> None:
    """Without the lock, the first process overwrites the host of the second one."""
    if not is_new:
        assert run(*addition(THIRD)).code == 0
    first = Held(WRITES, *addition(HOST))
    second = Held(WAITS, *addition(OTHER))
    assert first.end()[0] == 0
    assert second.end()[0] == 0
    assert hosts() == sorted([HOST, OTHER] if is_new else [HOST, OTHER, THIRD])
    assert PinSet.load("pins.toml").version == len(hosts())


@pytest.mark.slow
def test_a_link_to_the_pin_file_has_the_lock_of_its_target(run: Run) -> None:
    assert run(*addition(THIRD)).code == 0
    Path("links").mkdir()
    Path("links/bank.toml").symlink_to("../pins.toml")
    first = Held(WRITES, *addition(HOST, "links/bank.toml"))
    second = Held(WAITS, *addition(OTHER))
    assert (first.end()[0], second.end()[0]) == (0, 0)
    assert hosts() == sorted([HOST, OTHER, THIRD])
    assert Path("links/bank.toml").is_symlink()


@pytest.mark.slow
def test_an_addition_reads_the_file_again_that_has_changed_before_the_lock(run: Run) -> None:
    """The server of the first host may have answered slowly."""
    assert run(*addition(THIRD)).code == 0
    first = Held(LOCKS, *addition(HOST))
    assert run(*addition(OTHER)).code == 0
    code, printed = first.end()
    assert (code, "version 3" in printed) == (0, True), printed
    assert hosts() == sorted([HOST, OTHER, THIRD])


@pytest.mark.slow
def test_an_import_reads_the_file_that_it_has_locked(run: Run) -> None:
    assert run(*addition(THIRD)).code == 0
    write(kit.policy(OTHER, LEAF, BACKUP), path="other.toml")
    Path("other.json").write_bytes(run("export", "json", "--file", "other.toml").raw)
    first = Held(LOCKS, "import", "json", "other.json")
    assert run(*addition(HOST)).code == 0
    assert first.end()[0] == 0
    assert hosts() == sorted([HOST, OTHER, THIRD])


@pytest.mark.slow
def test_a_killed_process_leaves_no_lock(run: Run) -> None:
    first = Held(WRITES, *addition(HOST))
    second = Held(WAITS, *addition(OTHER))
    first.kill()
    assert second.end()[0] == 0
    assert hosts() == [OTHER]
    assert [*Path().iterdir()] == [Path("pins.toml")], "no lock file is left"


@pytest.mark.slow
def test_a_step_waits_until_another_one_is_in_the_journal(out: Run) -> None:
    first = Held(APPENDS, "rotate", "switch", str(BACKUP), "--host", HOST, *OFFLINE)
    second = Held(WAITS, "rotate", "switch", str(BACKUP), "--host", OTHER, *OFFLINE)
    assert (first.end()[0], second.end()[0]) == (0, 0)
    assert steps("activate") == [HOST, OTHER]
    states = [entry.state for each in PinSet.load("pins.toml").policies for entry in each.pins]
    assert states == ["active"] * 4


@pytest.mark.slow
def test_no_command_reads_a_pin_file_that_is_ahead_of_its_journal(out: Run) -> None:
    """It would say that the step is to be repeated, as after a crash."""
    first = Held(APPENDS, "rotate", "switch", str(BACKUP), "--host", HOST, *OFFLINE)
    second = Held(WAITS, "rotate", "status", *OFFLINE)
    assert first.end()[0] == 0
    _, printed = second.end()
    assert "lacks it" not in printed


@pytest.mark.slow
def test_a_version_is_recorded_once(out: Run) -> None:
    """The command has decided, and decides again when it has the lock."""
    write(*(kit.policy(host, LEAF, BACKUP) for host in (HOST, OTHER, THIRD)))
    text = Path("pins.toml").read_text(encoding="utf-8")
    Path("pins.toml").write_text(text.replace("version = 3", "version = 4"), encoding="utf-8")
    words = ("rotate", "shipped", "4", *OFFLINE)
    first = Held(DECIDES, *words)
    assert out(*words).code == 0
    code, printed = first.end()
    assert (code, "recorded already" in printed) == (2, True), printed
    assert [event.version for event in journal() if event.step == "publish"] == [3, 4]


@pytest.mark.slow
def test_a_step_is_refused_if_the_key_was_stolen_meanwhile(out: Run) -> None:
    first = Held(DECIDES, "rotate", "switch", str(BACKUP), "--host", HOST, *OFFLINE)
    out("rotate", "emergency", str(BACKUP), "--stolen", "--host", HOST, *OFFLINE)
    assert steps("compromise") == [HOST]
    code, printed = first.end()
    assert code == 1, printed
    assert steps("activate") == []


@pytest.mark.slow
def test_a_step_that_contacts_servers_delays_no_other_step(out: Run) -> None:
    first = Held(PROBES, "rotate", "switch", str(BACKUP), "--host", HOST, *OFFLINE)
    new = str(Authority("x").pin)
    second = program("rotate", "start", new, "--host", OTHER)
    assert second.wait(60) == 0
    assert first.end()[0] == 0
    assert (steps("stage"), steps("activate")) == ([OTHER], [HOST])


@pytest.mark.slow
def test_a_repeated_step_reads_no_chain_twice(out: Run) -> None:
    """The file of ``--served`` may be a pipe, and a server may be slow."""
    chain = Path("chain.pem")
    chain.write_bytes(Authority("Bank Root").issue(HOST).chain_pem)
    words = ("--host", HOST, *OFFLINE, "--served", "chain.pem")
    first = Held(DECIDES, "rotate", "switch", str(BACKUP), *words)
    assert out("rotate", "start", str(Authority("x").pin), "--host", OTHER).code == 0
    chain.unlink()
    code, printed = first.end()
    assert code == 0, printed
    assert steps("activate") == [HOST]


@pytest.mark.slow
def test_a_new_key_is_for_the_files_that_are_locked(out: Run) -> None:
    first = Held(STARTS, "rotate", "start", "--new", "next.key", "--host", HOST)
    new = str(Authority("x").pin)
    assert out("rotate", "start", new, "--host", OTHER).code == 0
    code, printed = first.end()
    assert code == 0, printed
    assert steps("stage") == [OTHER, HOST]


@pytest.mark.slow
def test_reading_commands_need_no_lock(out: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_READ_WAIT", 0)
    first = Held(WRITES, *addition(THIRD))
    Path().chmod(0o555)
    try:
        before = sorted(Path().iterdir())
        for words in (("rotate", "status", *OFFLINE), ("rotate", "history"), ("lint",)):
            done = out(*words)
            assert done.code in {0, 1}, done.err
        nothing = out("rotate", "switch", str(LEAF), *OFFLINE)
        assert (nothing.code, "Nothing to do" in nothing.out) == (0, True)
        assert sorted(Path().iterdir()) == before
    finally:
        Path().chmod(0o755)
    assert first.end()[0] == 0


@pytest.mark.slow
def test_a_command_that_has_no_lock_in_time_says_so(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Held(WRITES, *addition(HOST))
    with (
        pytest.raises(PinFileError, match="another command is changing it") as caught,
        changing(Path("pins.toml"), wait=0),
    ):
        pytest.fail("it has the lock")
    assert caught.value.fix.startswith("wait until it has ended")
    times = iter(range(0, 10**6, 30))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(times)))
    done = run(*addition(OTHER))
    assert (done.code, "did not end within 120 seconds" in done.err) == (2, True)
    assert first.end()[0] == 0
    assert hosts() == [HOST]


@pytest.mark.slow
def test_a_theft_is_recorded_although_another_command_keeps_the_lock(
    out: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Held(WRITES, *addition(THIRD))
    times = iter(range(0, 10**6, 30))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(times)))
    done = out("rotate", "emergency", str(BACKUP), "--stolen", "--host", HOST, *OFFLINE)
    assert "the journal is not locked, and is appended to" in done.err
    assert steps("compromise") == [HOST]
    assert first.end()[0] == 0


@pytest.mark.slow
def test_no_other_command_waits_while_a_key_is_read(out: Run) -> None:
    """Reading it may ask the user for a passphrase or a PIN, or a key service."""
    first = Held(READS, "rotate", "start", str(SPARE), "--host", HOST)
    assert out(*addition(THIRD)).code == 0
    code, printed = first.end()
    assert code == 0, printed
    assert hosts() == sorted([HOST, OTHER, THIRD])


@pytest.mark.slow
def test_a_theft_is_marked_in_the_file_that_another_command_has_changed(out: Run) -> None:
    first = Held(MARKS, "rotate", "emergency", str(LEAF), "--stolen", "--host", HOST, *OFFLINE)
    assert out("add", THIRD, "--pin", str(BACKUP), "--backup-pin", str(SPARE)).code == 0
    code, printed = first.end()
    assert "can't be computed" not in printed
    assert code in {0, 1}
    assert hosts() == sorted([HOST, OTHER, THIRD])
    assert steps("compromise") == [HOST]


def test_a_folder_that_cannot_be_opened_is_an_error_of_the_file() -> None:
    with (
        pytest.raises(PinFileError, match="it cannot be written: No such file"),
        changing(Path("missing/pins.toml")),
    ):
        pytest.fail("it has the lock")


def test_a_system_without_locks_locks_nothing(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.setattr(pinfile_file, "_fcntl", None)
    assert run(*addition(HOST)).code == 0
    assert hosts() == [HOST]


def test_a_repeated_step_compares_the_time_of_a_server_with_that_of_the_answer(
    monkeypatch: pytest.MonkeyPatch, unconfirmed_clock: None
) -> None:
    """The step may have waited for two minutes. Otherwise, the clock would seem to be ahead."""
    begin = utc_now()
    times = iter(begin + timedelta(minutes=each) for each in range(9))
    facts: Any = SimpleNamespace(
        fetch_host="pins.bank.example",
        fetch_url="https://pins.bank.example/",
        pins=kit.pin_set(kit.policy(HOST, LEAF, BACKUP)),
    )
    monkeypatch.setattr("certpin.probe.url_time", lambda *_, **__: begin)
    monkeypatch.setattr("certpin.pins.utc_now", lambda: next(times))
    found = []

    @files.repeat_if_changed
    def step() -> None:
        found.append(files.repository_dates(facts, offline=False, timeout=1))
        if len(found) == 1:
            raise PinFileChangedError.of(Path("pins.toml"))

    step()
    assert found[0]
    assert found[0] == found[1]
