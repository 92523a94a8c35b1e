"""A clone that lacks the version which clients can fetch: its steps lock clients out.

``status``, ``switch`` and ``emergency`` compare the journal with the destination of pushes.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from certpin.cli.publish import destination
from certpin.cli.rotate.files import RotationFiles
from certpin.errors import UpdateError
from certpin.pins import Pin
from certpin.publish.storage import FolderStorage
from certpin.rotation import format_journal
from certpin.support.network import DaemonPool
from tests import kit
from tests.cli._rotating import JOURNAL, all_events, days_pass, invariants, journal, stepped
from tests.cli._signed_sets import KEYS, NEW, documented, out
from tests.updates._server import FolderServer
from tests.updates.conftest import served

if TYPE_CHECKING:
    from certpin.cli.publish.destination import RemoteVersion
    from certpin.lab import Identity
    from tests.cli.conftest import Run
    from tests.updates._server import Handler

__all__ = ["served"]

SETTINGS = Path("publish/publish.toml")
SILENT = ("--connect", "127.0.0.1:9", "--timeout", "1")  # a server that does not answer
EMERGENCY = ("rotate", "emergency", str(kit.NOBODY), "--stolen", *SILENT)
PROBLEM = "version 4 is at ../www, and the newest one in the journal is 3"

pytestmark = pytest.mark.medium


@pytest.fixture
def outdated(begun: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Push version 3, and version 4 without one of its pins. Change to a clone without version 4.

    Return the function that runs commands.
    """
    SETTINGS.write_text(SETTINGS.read_text().replace('"www"', '"../www"'))
    documented(begun, "sign", *KEYS)
    documented(begun, "push")
    days_pass(100)
    shutil.copytree(".", "../clone")
    out(begun, kit.NOBODY, NEW)
    documented(begun, "sign", *KEYS)
    documented(begun, "push")
    monkeypatch.chdir("../clone")
    return begun


def test_a_switch_is_refused(outdated: Run) -> None:
    words = ("switch", str(kit.NOBODY_ELSE))
    done, facts = stepped(outdated, *words, *SILENT)
    assert (done.code, invariants(facts)) == (1, ["outdated"])
    assert facts["breaches"][0]["problem"].endswith(PROBLEM)
    assert "git pull" in facts["breaches"][0]["fix"]
    assert stepped(outdated, *words, *SILENT, "--offline")[0].code == 0


def test_a_forced_switch_is_recorded(outdated: Run) -> None:
    force = ("--force", "--reason", "that version is an attacker's")
    assert stepped(outdated, "switch", str(kit.NOBODY_ELSE), *SILENT, *force)[0].code == 0
    assert journal()[-1].reason == "that version is an attacker's"


def test_status_says_that_no_step_is_safe(outdated: Run) -> None:
    done = outdated("rotate", "status", *SILENT, "--json")
    [host] = done.json["hosts"]
    assert (done.code, [each["invariant"] for each in host["breaches"]][:1]) == (1, ["outdated"])
    steps = [step for pin in host["pins"] for step in pin["steps"]]
    assert steps
    assert all(step["breaches"][0]["invariant"] == "outdated" for step in steps)
    assert f"NOW: {PROBLEM}" in outdated("rotate", "status", *SILENT).out
    assert PROBLEM not in outdated("rotate", "status", "--offline").out


def test_status_describes_the_newer_version_once(outdated: Run) -> None:
    """It is about the whole pin file, and stops each step of each host."""
    done = outdated("rotate", "status", *SILENT)
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert (done.code, done.out.count(PROBLEM), done.out.count("git pull")) == (1, 1, 1)
    assert "refused: this clone is outdated" in lines
    assert lines.count("finish unsafe: this clone is outdated") == 2


def test_an_emergency_is_recorded_and_no_path_is_printed(outdated: Run) -> None:
    """The pin file is not changed, so that git can merge the newer one."""
    words = ("rotate", "emergency", str(kit.NOBODY), "--stolen", *SILENT)
    before = Path("pins.toml").read_bytes()
    done = outdated(*words)
    assert (done.code, journal()[-1].step, Path("pins.toml").read_bytes()) == (
        1,
        "compromise",
        before,
    )
    assert f"the way out can't be computed: {PROBLEM}. Get " in done.err
    assert "certpin rotate switch" not in done.out
    assert PROBLEM in outdated(*words, "--json").json["problem"]
    assert outdated(*words, "--offline", "--json").json["hosts"][0]["steps"]


def test_the_same_number_with_other_pins_is_newer_too(outdated: Run) -> None:
    out(outdated, kit.NOBODY, kit.NOBODY_ELSE, Pin("sha256", bytes(range(3, 35))))
    done, facts = stepped(outdated, "switch", str(kit.NOBODY_ELSE), *SILENT)
    assert invariants(facts)[0] == "outdated"
    assert "version 4 is at ../www, and the journal has it with other pins" in done.err


def test_an_unverified_version_is_only_a_hint(
    outdated: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the extra, or with another root: anyone could have written the number."""
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "certpin.publish.remote_state", None)
        done, facts = stepped(outdated, "switch", str(kit.NOBODY_ELSE), *SILENT)
    hint = f"which version clients have: {PROBLEM}, with unverified signatures"
    assert (done.code, any(each.startswith(hint) for each in facts["unknown"])) == (0, True)
    Path("publish/site/metadata/1.root.json").unlink()
    words = ("rotate", "emergency", str(kit.NOBODY), "--stolen", *SILENT, "--json")
    facts = outdated(*words).json
    assert facts["hosts"][0]["steps"]
    assert any(each.startswith(hint) for each in facts["unknown"])


def test_a_forged_version_is_only_a_hint(outdated: Run) -> None:
    """A person with write access to the destination stops no emergency."""
    [targets] = Path("../www/metadata").glob("2.targets.json")
    targets.write_text(targets.read_text().replace('"version": 4', '"version": 5000'))
    targets.write_text(targets.read_text().replace('"version":4', '"version":5000'))
    done, facts = stepped(outdated, "switch", str(kit.NOBODY_ELSE), *SILENT)
    assert (done.code, invariants(facts)) == (0, [])
    assert "version 5000 is at ../www" in str(facts["unknown"])


def test_old_files_at_the_destination_are_only_a_hint(
    outdated: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are signed: an attacker who copied them could stop each emergency. No client takes them.

    The user let the journal begin with version 4.
    """
    monkeypatch.chdir("../work")
    for name in ("metadata", "targets"):
        shutil.rmtree(f"../www/{name}")
        shutil.copytree(f"../clone/publish/site/{name}", f"../www/{name}")
    later = [each for each in all_events() if (each.step, each.version) != ("publish", 3)]
    JOURNAL.write_text(format_journal(later))
    _, facts = stepped(outdated, "switch", str(NEW), *SILENT)
    assert "outdated" not in invariants(facts)
    hint = "version 3 is at ../www, which the journal lacks, and its newest one is 4 (push again:"
    assert f"which version clients have: {hint} certpin publish push; " in str(facts["unknown"])
    facts = outdated(*EMERGENCY, "--json").json
    assert facts["hosts"][0]["steps"]
    assert hint in str(facts["unknown"])
    assert outdated("publish", "push").code == 0
    assert hint not in outdated(*EMERGENCY).out


HOSTILE_TARGETS = {
    "no table": b'{"signed":{"targets":[]}}',
    "infinite": b'{"signed":{"targets":{"a":{"custom":{"version":1e999}}}}}',
    "deep": b"[" * 100_000,
}


@pytest.mark.parametrize("damage", HOSTILE_TARGETS)
def test_hostile_metadata_at_the_destination_stop_no_step(outdated: Run, damage: str) -> None:
    Path("../www/metadata/2.targets.json").write_bytes(HOSTILE_TARGETS[damage])
    done, facts = stepped(outdated, "switch", str(kit.NOBODY_ELSE), *SILENT)
    assert done.code == 0
    assert "the signed files at ../www are damaged" in str(facts["unknown"])
    assert "the signed files at ../www are damaged" in outdated("rotate", "status", *SILENT).out
    done = outdated(*EMERGENCY, "--json")
    assert done.json["hosts"][0]["steps"]
    assert "the signed files at ../www are damaged" in str(done.json["unknown"])


HOSTILE_VERSIONS = ("1e999", "nan", "-3", "true", '"4"', "[]", "9" * 5000, "2000-01-01")


def test_a_hostile_version_in_the_signed_files_is_an_error_that_names_the_file(
    outdated: Run,
) -> None:
    path = Path("publish/site/targets", "a" * 64 + ".pins.toml")
    for value in HOSTILE_VERSIONS:
        path.write_text(f"version = {value}")
        done = outdated("rotate", "switch", str(kit.NOBODY_ELSE), "--offline")
        assert (done.code, f"{path} can't be read: " in done.err) == (2, True), value
        assert outdated(*EMERGENCY, "--offline", "--json").json["hosts"][0]["steps"], value
        assert outdated("rotate", "status", "--offline", "--json").json["hosts"], value


def test_a_fifo_at_the_destination_does_not_block_an_emergency(outdated: Run) -> None:
    timestamp = Path("../www/metadata/timestamp.json")
    timestamp.unlink()
    os.mkfifo(timestamp)
    with DaemonPool(1, "emergency") as pool:
        done = pool.submit(lambda: outdated(*EMERGENCY, "--json")).result(60)
    assert done.json["hosts"][0]["steps"]
    assert "it is not a regular file" in str(done.json["unknown"])


def _read(timeout: float) -> RemoteVersion | None:
    """Return the version at the destination of the pin file in the current folder."""
    return destination.read_version(RotationFiles(Path("pins.toml")), timeout)


def test_no_other_root_is_read_if_the_first_one_is_not_the_own(
    outdated: Run, trusted_root: Path, served: Identity
) -> None:
    first = Path("../www/metadata/1.root.json")
    first.write_bytes(first.read_bytes() + b"\n")
    for number in range(2, 20):
        shutil.copy(first, first.with_name(f"{number}.root.json"))
    with FolderServer(Path("../www").absolute(), served) as server:
        SETTINGS.write_text(f'fetch_url = "{server.url}"\n')
        found = _read(10)
        asked = [path for path in server.requests if path.endswith(".root.json")]
    assert (found is not None and (found.number, found.pins)) == (4, None)
    assert asked == ["/metadata/1.root.json"]


def _add_roots(last: int) -> None:
    """Add roots to the destination, each of which is one more file to read."""
    first = Path("../www/metadata/1.root.json")
    for number in range(2, last + 1):
        shutil.copy(first, first.with_name(f"{number}.root.json"))


def test_a_slow_folder_with_very_many_roots_ends(
    outdated: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One read takes a second, and all together 4 times the limit of 2 seconds."""
    _add_roots(200)
    clock = SimpleNamespace(monotonic=lambda: float(len(paths)))
    paths: list[str] = []
    read = FolderStorage.read

    def slowly(storage: FolderStorage, path: str, max_bytes: int) -> bytes | None:
        paths.append(path)
        return read(storage, path, max_bytes)

    monkeypatch.setattr(FolderStorage, "read", slowly)
    monkeypatch.setattr("certpin.support.network.time", clock)
    with pytest.raises(UpdateError, match="its files could not be read in time"):
        _read(2)
    assert len(paths) == 8


def test_a_slow_server_with_many_roots_ends(
    outdated: Run, trusted_root: Path, served: Identity
) -> None:
    """All requests have one time limit. One for each request would allow all 30 of them."""
    _add_roots(30)

    def slowly(handler: Handler) -> None:
        time.sleep(0.05)
        handler.serve_file()

    with FolderServer(Path("../www").absolute(), served) as server:
        SETTINGS.write_text(f'fetch_url = "{server.url}"\n')
        server.answers["root.json"] = slowly
        with pytest.raises(UpdateError, match="can't be read"):
            _read(0.3)
        assert len(server.requests) < 30


def test_a_server_that_sends_a_byte_now_and_then_ends(
    outdated: Run, trusted_root: Path, served: Identity
) -> None:
    with FolderServer(Path("../www").absolute(), served) as server:
        SETTINGS.write_text(f'fetch_url = "{server.url}"\n')
        server.answers["1.root.json"] = server.drip
        begun = time.monotonic()
        with pytest.raises(UpdateError, match="can't be read") as caught:
            _read(0.3)
        assert caught.value.reason == "storage"
        assert time.monotonic() - begun < 10


@pytest.mark.parametrize("damage", ["missing", "unreadable", "no settings", "no version"])
def test_what_cannot_be_read_is_unknown_and_stops_no_step(outdated: Run, damage: str) -> None:
    timestamp = Path("../www/metadata/timestamp.json")
    if damage == "missing":
        shutil.rmtree("../www")
    elif damage == "unreadable":
        timestamp.unlink()
        timestamp.mkdir()
    elif damage == "no settings":
        SETTINGS.write_text("no TOML")
    else:
        timestamp.write_text("{}")
    done, facts = stepped(outdated, "switch", str(kit.NOBODY_ELSE), *SILENT)
    assert (done.code, invariants(facts)) == (0, [])
    found = "clients can fetch a newer version" in str(facts["unknown"])
    assert found == (damage != "missing")


def test_the_server_of_clients_is_read(outdated: Run, trusted_root: Path, served: Identity) -> None:
    with FolderServer(Path("../www").absolute(), served) as server:
        SETTINGS.write_text(f'fetch_url = "{server.url}"\n')
        _, facts = stepped(outdated, "switch", str(kit.NOBODY_ELSE), *SILENT)
        assert invariants(facts) == ["outdated"]
        Path("publish/publish.toml").write_text("")
        assert stepped(outdated, "switch", str(kit.NOBODY_ELSE), *SILENT)[0].code == 0


def test_an_up_to_date_clone_reads_only_the_timestamp(
    outdated: Run, trusted_root: Path, served: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("../work")
    with FolderServer(Path("../www").absolute(), served) as server:
        SETTINGS.write_text(f'fetch_url = "{server.url}"\n')
        _, facts = stepped(outdated, "switch", str(kit.NOBODY), *SILENT)
        assert "outdated" not in invariants(facts)
        asked = [path for path in server.requests if "/metadata/" in path]
        assert asked == ["/metadata/timestamp.json"]


def test_the_clone_that_pushed_is_up_to_date(
    outdated: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("../work")
    done = outdated("rotate", "status", *SILENT, "--json")
    assert "outdated" not in str(done.json)
    assert "newer version" not in str(done.json["unknown"])
