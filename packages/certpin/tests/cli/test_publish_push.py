"""``certpin publish push``: uploads the signed pin set, and records that in the journal."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from fsspec import register_implementation  # type: ignore[import-untyped]
from fsspec.implementations.memory import MemoryFileSystem  # type: ignore[import-untyped]

from certpin.cli.publish import push
from certpin.cli.rotate.files import RotationFiles
from certpin.cli.rotate.signed_site import signatures_expiry
from certpin.errors import UpdateError
from certpin.pinfile import PinSet
from certpin.pinfile.editor import PinFileEditor
from certpin.pins import utc_now
from certpin.rotation import Event, ServerDate, format_journal
from tests import kit
from tests.cli import _documented
from tests.cli._held import Held
from tests.cli._pinfiles import dead, write
from tests.cli._rotating import (
    APP,
    JOURNAL,
    all_files,
    days_pass,
    history,
    invariants,
    journal,
    record_signed,
    stepped,
)
from tests.cli._signed_sets import NEW
from tests.cli._terminal import on_terminal
from tests.cli.conftest import HOST, Run
from tests.updates._publisher import DAY, Repository

if TYPE_CHECKING:
    from tests.cli.conftest import Done

SITE = Path("publish/site")
SETTINGS = Path("publish/publish.toml")
WWW = Path("www")
TIMESTAMP = WWW / "metadata/timestamp.json"
RENEWAL = ["metadata/timestamp.json"]


@pytest.fixture
def bank(run: Run) -> Repository:
    """Publish and sign version 3, and return the repository, which is not pushed yet."""
    write(kit.policy(HOST))
    SITE.parent.mkdir()
    SETTINGS.write_text('url = "www"\n')
    record_signed()
    bank = Repository(SITE)
    bank.publish(Path("pins.toml").read_bytes())
    return bank


def pushed(run: Run, *words: str) -> tuple[Done, dict[str, Any]]:
    """Run ``certpin publish push WORDS``. Fail unless its JSON is as documented.

    Returns:
        The result of the command, and the JSON data.
    """
    done = run("publish", "push", *words, "--json")
    _documented.check("publish push", done.json)
    assert done.json["done"] == (done.code == 0 and "--dry-run" not in words)
    return done, done.json


def waiting() -> list[bool]:
    return [version.pending for version in history().deployed.versions]


def test_adoption_counts_from_the_push(bank: Repository, run: Run) -> None:
    days_pass(10)
    assert waiting() == [True]
    done = run("publish", "push", "--who", "ann")
    assert done.code == 0
    assert "Version 3 of bank is at www: 5 files uploaded." in done.out
    assert "It counts as held by every client already" in done.out
    assert done.err == ""
    event = journal()[-1]
    assert (event.step, event.version, event.who) == ("push", 3, "ann")
    assert waiting() == [False]
    assert history().deployed.versions[0].fetched == event.time
    assert "not pushed yet" not in run("rotate", "status", "--offline").out
    next_version(bank, 4)
    again = run("publish", "push").out
    assert ("Every client has it from " in again, "counts as held" in again) == (True, False)


@pytest.mark.slow
def test_a_push_is_recorded_although_the_journal_has_grown_during_the_upload(
    bank: Repository, run: Run
) -> None:
    first = Held("certpin.publish.push.upload", "publish", "push")
    run("rotate", "emergency", str(kit.NOBODY), "--lost", "--offline")
    assert first.end()[0] == 0
    assert [event.step for event in journal()] == ["publish", "lose", "push"]
    assert waiting() == [False]


@pytest.mark.medium
def test_a_version_of_a_lost_machine_is_restored_from_the_server(run: Run, tmp_path: Path) -> None:
    """The commands of the page about delivery, which the fixes of both refusals name, too."""
    write(kit.policy(HOST))
    keys = ("root.key", "targets.key", "online.key")
    options = ("--root-key", "--targets-key", "--online-key")
    named = [word for pair in zip(options, keys, strict=True) for word in pair]
    assert run("publish", "init", *named, "--url", "www").code == 0
    assert run("publish", "sign", *keys, "--offline").code == 0
    assert pushed(run)[0].code == 0
    saved = [Path("publish"), Path("pins.toml"), JOURNAL]
    for path in saved:
        (shutil.copytree if path.is_dir() else shutil.copy)(path, tmp_path / path.name)
    write(kit.policy(HOST, kit.NOBODY, kit.NOBODY_ELSE))
    raised = Path("pins.toml").read_text(encoding="utf-8").replace("version = 3", "version = 4")
    Path("pins.toml").write_text(raised, encoding="utf-8")
    assert run("publish", "sign", *keys, "--offline").code == 0
    assert pushed(run)[0].code == 0
    shutil.rmtree("publish")
    for path in saved:
        (shutil.copytree if (tmp_path / path.name).is_dir() else shutil.copy)(
            tmp_path / path.name, path
        )
    shutil.copytree(WWW, SITE, dirs_exist_ok=True)

    refused = run("publish", "sign", *keys[1:], "--offline")
    (copied,) = re.findall(r"publish/site/targets/\w+\.pins\.toml", "".join(refused.err.split()))
    assert (refused.code, "git pull" in refused.err) == (2, True)
    assert copied in "".join(run("publish", "push").err.split())
    shutil.copy(copied, "pins.toml")
    assert run("publish", "sign", *keys[1:], "--offline").code == 0
    done, facts = pushed(run)
    assert (done.code, facts["version"], facts["recorded"]) == (0, 4, True)


def expired_at_the_server(bank: Repository, days: float) -> None:
    """Renew the signatures; those that were pushed expired so many days ago.

    The journal is moved into the past likewise, so that the pushes are older.
    """
    bank.now = utc_now() - timedelta(days=days + 3)
    bank.publish_online()
    shutil.copytree(SITE, WWW, dirs_exist_ok=True)
    bank.now = utc_now()
    bank.publish_online()


def next_version(bank: Repository, number: int) -> None:
    """Record, sign and push another version, which accepts another key."""
    write(kit.policy(HOST, kit.NOBODY, NEW))
    text = Path("pins.toml").read_text(encoding="utf-8")
    changed = text.replace("version = 3", f"version = {number}")
    Path("pins.toml").write_text(changed, encoding="utf-8")
    record_signed()
    bank.publish(Path("pins.toml").read_bytes())


def test_adoption_begins_again_after_the_signatures_had_expired(bank: Repository, run: Run) -> None:
    """The daily job was dead: clients that did not check in the first days still have version 3."""
    assert pushed(run)[0].code == 0
    days_pass(100)
    next_version(bank, 4)
    assert pushed(run)[1]["again"] == []
    days_pass(35)  # T_adopt has passed since the push
    expired_at_the_server(bank, 31)
    done, facts = pushed(run, "--who", "ann")
    assert (done.code, facts["recorded"], facts["again"]) == (0, False, [4])
    event = journal()[-1]
    assert (event.step, event.version, event.who) == ("push", 4, "ann")
    assert "the signatures had expired on" in event.note
    deployed, timing = history().deployed, history().timing
    assert timing is not None
    assert deployed.end_of_life(deployed.versions[0], timing) == event.time + timing.adopt
    assert pushed(run)[1]["again"] == []


def test_versions_that_every_client_had_do_not_begin_again(bank: Repository, run: Run) -> None:
    assert pushed(run)[0].code == 0
    next_version(bank, 4)
    assert pushed(run)[0].code == 0
    days_pass(100)
    expired_at_the_server(bank, 2)
    before = JOURNAL.read_bytes()
    done, facts = pushed(run)
    assert (done.code, facts["again"], JOURNAL.read_bytes()) == (0, [], before)


def test_a_later_version_does_not_hide_that_signatures_had_expired(
    bank: Repository, run: Run
) -> None:
    assert pushed(run)[0].code == 0
    next_version(bank, 4)
    assert pushed(run)[0].code == 0
    days_pass(35)
    expired_at_the_server(bank, 31)
    next_version(bank, 5)
    done, facts = pushed(run)
    assert (done.code, facts["recorded"], facts["again"]) == (0, True, [3, 4])
    assert "T_adopt of 3, 4 begins again" not in done.out


def test_rotations_wait_while_the_signatures_have_expired(bank: Repository, run: Run) -> None:
    """`switch` would let servers use a key that clients with the older version refuse."""
    assert pushed(run)[0].code == 0
    next_version(bank, 4)
    assert pushed(run)[0].code == 0
    days_pass(35)
    words = ("rotate", "switch", str(NEW), "--offline")
    assert [each.number for each in RotationFiles(Path("pins.toml")).deployed.versions] == [3, 4]
    assert run("rotate", "status", "--offline").err == ""
    assert "adopted" not in invariants(stepped(run, *words[1:])[1])
    bank.now = utc_now() - timedelta(days=34)
    bank.publish_online()
    stolen = ("rotate", "emergency", str(NEW), "--stolen", "--offline")
    for command in (("rotate", "status", "--offline"), words, stolen):
        said = " ".join(run(*command).err.split())
        assert said.count("clients can't fetch version 4 since") == 1
        assert "certpin publish sign KEY, then certpin publish push; or get those" in said
    assert "adopted" in invariants(stepped(run, *words[1:])[1])
    files = RotationFiles(Path("pins.toml"))
    ends = [files.deployed.end_of_life(each, files.timing) for each in files.deployed.versions]
    assert ends[0] is not None
    assert ends[0] > utc_now() + timedelta(days=30)
    (SITE / "metadata/1-old.root.json").write_bytes(b"{}")  # a copy that an editor made
    assert "clients can't fetch version 4" in " ".join(run(*words).err.split())
    for damage in (
        b"{}",
        b"[" * 100_000,
        b'{"signed": {"meta": {"snapshot.json": {"version": "1"}}}}',
    ):
        (SITE / "metadata/timestamp.json").write_bytes(damage)
        said = " ".join(run("rotate", "status", "--offline").err.split())
        assert "it is unknown whether clients can fetch versions: " in said
        assert "certpin publish status" in said


@pytest.mark.parametrize("first", ["timestamp", "snapshot", "targets", "root"])
def test_the_first_file_that_expires_ends_the_delivery(tmp_path: Path, first: str) -> None:
    metadata = tmp_path / "publish/site/metadata"
    metadata.mkdir(parents=True)
    meta = {"snapshot.json": {"version": 7}, "targets.json": {"version": 5}}
    names = {"timestamp": "timestamp", "snapshot": "7.snapshot", "targets": "5.targets"}
    for role, name in {**names, "root": "12.root"}.items():
        expires = "2027-01-01T00:00:00Z" if role == first else "2027-06-01T00:00:00Z"
        text = json.dumps({"signed": {"expires": expires, "meta": meta}})
        (metadata / f"{name}.json").write_text(text)
    (metadata / "9.root.json").write_text("{}")  # an older one
    assert signatures_expiry(tmp_path / "publish/site") == datetime(2027, 1, 1, tzinfo=UTC)
    assert signatures_expiry(tmp_path / "elsewhere/site") is None


def test_a_push_is_recorded_once(bank: Repository, run: Run) -> None:
    assert pushed(run)[1]["recorded"]
    before = JOURNAL.read_bytes()
    bank.publish_timestamp()
    done, facts = pushed(run)
    assert (done.code, facts["recorded"], facts["uploads"]) == (0, False, RENEWAL)
    assert JOURNAL.read_bytes() == before
    assert "it was already complete" in run("publish", "push").out
    assert "it was already complete" in run("publish", "push", "--dry-run").out


def test_the_json_has_the_pushed_version(bank: Repository, run: Run) -> None:
    _, facts = pushed(run)
    assert facts["uploads"][-1:] == RENEWAL
    assert (facts["url"], facts["pin_set"], facts["version"]) == ("www", "bank", 3)
    assert (facts["root"], facts["timestamp"], facts["reason"]) == (1, 1, None)


def test_a_dry_run_lists_the_files_and_uploads_none(bank: Repository, run: Run) -> None:
    before = JOURNAL.read_bytes()
    done = run("publish", "push", "--dry-run")
    assert (done.code, done.out.splitlines()[0]) == (
        0,
        "5 files would be uploaded to www, in this order:",
    )
    assert done.out.splitlines()[-1] == "  metadata/timestamp.json"
    assert len(pushed(run, "--dry-run")[1]["uploads"]) == 5
    assert (WWW.exists(), JOURNAL.read_bytes()) == (False, before)


def test_a_refusal_ends_with_1_and_has_its_reason(bank: Repository, run: Run) -> None:
    bank.now -= 4 * DAY
    bank.publish_timestamp()
    done, facts = pushed(run)
    assert (done.code, facts["reason"], facts["version"]) == (1, "expired", None)
    assert "certpin publish sign" in facts["fix"]
    done = run("publish", "push")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("certpin: the signed set expired on ")
    assert run("publish", "push", "--dry-run").code == 1
    assert not WWW.exists()
    assert waiting() == [True]


def test_a_version_without_a_journal_entry_is_refused(bank: Repository, run: Run) -> None:
    """Also refused if the entry has the same number but other pins, as after a merge."""
    text = JOURNAL.read_text()
    JOURNAL.unlink()
    assert pushed(run)[1]["reason"] == "unpublished"
    other = kit.pin_set(kit.policy("other.bank.example"), version=3)
    JOURNAL.write_text(text)
    JOURNAL.write_text(format_journal([replace(event, pins=other) for event in journal()]))
    done, facts = pushed(run)
    assert (done.code, facts["reason"]) == (1, "unpublished")
    assert not WWW.exists()


def test_a_push_takes_no_mark_of_a_stolen_key_from_clients(run: Run, bank: Repository) -> None:
    """A clone can have signed version 5 before it got version 4, which has the mark, from git."""
    assert pushed(run)[0].code == 0
    plain = PinFileEditor.open(Path("pins.toml"))
    write(dead(kit.policy(HOST), NEW))
    marked = replace(PinSet.load("pins.toml"), version=4)
    plain.set_version(5)
    unmarked = plain.check()
    Path("pins.toml").write_text(plain.text)
    theirs = Event(utc_now(), "ben", "publish", version=4, pins=marked)
    mine = Event(utc_now(), "ada", "publish", version=5, signed=True, pins=unmarked)
    with JOURNAL.open("a") as file:
        file.write(format_journal([theirs, mine]))
    bank.publish(plain.text.encode())
    before = all_files(JOURNAL, WWW)
    done = run("publish", "push")
    said = " ".join(done.err.split())
    assert (done.code, f"version 4 marks {NEW} as COMPROMISED, and version 5" in said) == (2, True)
    assert all_files(JOURNAL, WWW) == before


def test_a_storage_that_fails_ends_with_3(bank: Repository, run: Run) -> None:
    SETTINGS.write_text('url = "not-mounted/www"\n')
    done, facts = pushed(run)
    assert (done.code, facts["reason"]) == (3, "storage")
    assert "0 of 5 files were uploaded" in facts["problem"]
    assert waiting() == [True]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://pins.bank.example/",
        "file:///%00x",
        "pins.toml",
        "dir://x",
        "memory://a-push/x",
    ],
)
def test_settings_without_a_url_end_with_2(bank: Repository, run: Run, url: str) -> None:
    SETTINGS.write_text(f'url = "{url}"\n')
    done = run("publish", "push")
    assert (done.code, "url" in done.err) == (2, True)
    assert waiting() == [True]


def test_the_fix_for_a_missing_url_works(bank: Repository, run: Run) -> None:
    from certpin.publish.settings import PublishSettings, text_of

    SETTINGS.write_text(text_of(PublishSettings()))
    done = run("publish", "push")
    assert (done.code, "above [expires], or remove the #" in done.err) == (2, True)
    SETTINGS.write_text(text_of(PublishSettings()).replace("# url", "url"))
    assert run("publish", "push").code == 0


class Shelf(MemoryFileSystem):  # type: ignore[misc]  # fsspec has no types
    """A storage in memory that fsspec finds by its protocol, as that of a third-party package."""

    protocol = "certpin-shelf"
    labels: ClassVar[list[str]] = []

    def __init__(self, label: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.labels.append(label)


def test_a_storage_gets_its_options_and_no_others(bank: Repository, run: Run) -> None:
    register_implementation(Shelf.protocol, Shelf, clobber=True)
    where = f'url = "{Shelf.protocol}://a-push/x"\n[storage]\n'
    SETTINGS.write_text(f'{where}secret = "x"\n')
    done = run("publish", "push")
    assert (done.code, "publish.toml" in done.err, "'x'" in done.err) == (2, True, False)
    SETTINGS.write_text(f'{where}lable = "x"\n')
    done = run("publish", "push")
    assert (done.code, "storage.lable" in done.err, " label" in done.err) == (2, True, True)
    SETTINGS.write_text(f'{where}label = "a label"\n')
    assert run("publish", "push").code == 0
    assert Shelf.labels == ["a label"]


def test_without_a_folder_to_publish_from_it_ends_with_2(run: Run) -> None:
    write(kit.policy(HOST))
    done = run("publish", "push")
    assert (done.code, "certpin publish init" in done.err) == (2, True)


def test_an_unwritable_journal_is_reported_and_the_next_push_records(
    bank: Repository, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("certpin.cli.rotate.files.append_lines", full)
        done = run("publish", "push", "--json")
    assert (done.code, done.err) == (2, "")
    assert "version 3 WAS pushed" in done.error["message"]
    assert "certpin publish push" in done.error["fix"]
    assert (TIMESTAMP.exists(), waiting()) == (True, [True])
    _, facts = pushed(run)
    assert (facts["uploads"], facts["recorded"], waiting()) == ([], True, [False])


def test_damaged_uploaded_files_are_reported(bank: Repository, run: Run) -> None:
    assert run("publish", "push").code == 0
    TIMESTAMP.write_bytes(b"{}")
    done = run("publish", "push")
    assert (
        done.code,
        "certpin: warning: clients refuse the previously uploaded files" in done.err,
    ) == (0, True)
    TIMESTAMP.write_bytes(b"{}")
    assert pushed(run)[1]["damage"]
    assert pushed(run)[1]["damage"] is None


def test_a_push_works_from_another_folder(bank: Repository, run: Run, tmp_path: Path) -> None:
    away = tmp_path / "away"
    away.mkdir()
    here = Path.cwd()
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(away)
        assert run("publish", "push", "-f", here / "pins.toml").code == 0
    assert TIMESTAMP.exists()


@pytest.mark.slow
def test_a_push_on_a_terminal_shows_its_progress(bank: Repository) -> None:
    code, text = on_terminal("publish", "push")
    assert code == 0
    assert "push" in text.partition("Version 3 of bank")[0]


def test_hostile_names_in_the_storage_are_escaped(bank: Repository, run: Run) -> None:
    assert run("publish", "push").code == 0
    files = {"pins.toml": b"x"}
    evil = Repository(Path("evil"))
    evil.publish_targets(files, {"pin-set": "\x1b[2Jshop", "version": 1})
    evil.publish_online()
    for role in ("targets", "snapshot", "timestamp"):
        (WWW / evil.path(role).relative_to("evil")).write_bytes(evil.path(role).read_bytes())
    done = run("publish", "push")
    assert (done.code, "\x1b" in done.out + done.err) == (1, False)
    assert json.loads(run("publish", "push", "--json").out)["reason"] == "foreign"


@pytest.mark.parametrize("role", ["timestamp", "snapshot"])
def test_metadata_of_a_fast_clock_is_not_pushed(bank: Repository, run: Run, role: str) -> None:
    bank.days[role] += 80
    bank.publish_online()
    refused = run("publish", "push")
    assert (refused.code, WWW.exists()) == (2, False)
    assert f"{role} 2 expires on" in refused.err
    assert f"--renew {role}" in " ".join(refused.err.split())
    bank.days[role] -= 80
    bank.publish_online()
    assert run("publish", "push").code == 0


@pytest.mark.parametrize("apart", [DAY, -DAY])
def test_a_push_with_a_wrong_clock_is_refused(
    bank: Repository, run: Run, monkeypatch: pytest.MonkeyPatch, apart: timedelta
) -> None:
    """The journal would record that older versions end too early or much too late."""
    there = utc_now() + apart
    dates = (ServerDate("pins.bank.example", there, there - apart),)
    monkeypatch.setattr(push, "repository_dates", lambda *_, **__: dates)
    refused = run("publish", "push")
    assert (refused.code, WWW.exists(), waiting()) == (2, False, [True])
    assert "that of pins.bank.example" in refused.err
    assert run("publish", "push", "--dry-run").code == 0
    monkeypatch.setattr(push, "repository_dates", lambda *_, **__: ())
    assert run("publish", "push").code == 0
    bank.publish_timestamp()
    monkeypatch.setattr(push, "repository_dates", lambda *_, **__: dates)
    assert run("publish", "push").code == 2  # a renewal, too


def test_a_push_without_a_server_that_confirms_the_time_is_reported(
    bank: Repository, run: Run
) -> None:
    """Adoption counts from it, unless it is the first: then no other version has to end."""
    assert pushed(run)[1]["unknown"] == []
    next_version(bank, 4)
    (unknown,) = pushed(run)[1]["unknown"]
    assert "the clock of this machine is right (publish.toml has no fetch_url, and" in unknown
    bank.publish_timestamp()
    assert pushed(run)[1]["unknown"] == [], "a renewal is not recorded"


def test_a_clock_that_no_server_confirms_is_reported(bank: Repository, run: Run) -> None:
    with SETTINGS.open("a", encoding="utf-8") as file:
        file.write('fetch_url = "https://127.0.0.1:9/"\n')
    _, facts = pushed(run)
    (unknown,) = facts["unknown"]
    assert "the clock of this machine is right (127.0.0.1, the host of fetch_url, gave" in unknown
    bank.publish_timestamp()
    assert f"Not known: {unknown}." in " ".join(run("publish", "push").out.split())
    assert pushed(run)[1]["unknown"] == []  # nothing was uploaded


def test_a_push_before_the_newest_entry_is_refused(bank: Repository, run: Run) -> None:
    days_pass(-1)
    refused = run("publish", "push")
    assert (refused.code, WWW.exists()) == (2, False)
    assert "certpin rotate clock" in refused.err


def test_the_version_in_the_apps_is_the_lower_bound(
    bank: Repository, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`prepare` compares it if the newest root has replaced the keys of the stored pin set."""
    bounds: list[int | None] = []

    def stopped(*_: object, shipped: PinSet | None, **__: object) -> None:
        bounds.append(shipped.version if shipped else None)
        raise UpdateError("stopped", reason="test")

    monkeypatch.setattr("certpin.publish.push.prepare", stopped)
    assert run("publish", "push").code == 1
    assert run("rotate", "shipped", "3", *APP, "--offline").code == 0
    assert run("publish", "push").code == 1
    assert bounds == [None, 3]


def test_a_warning_about_the_journal_is_printed_once(bank: Repository, run: Run) -> None:
    unknown = Event(utc_now(), "ann", "ended", version=9)
    JOURNAL.write_text(JOURNAL.read_text() + format_journal([unknown]))
    assert run("publish", "push").err.count("version 9, which was never published") == 1
