"""``certpin rotate`` without a network: the draft, the versions, the journal beside them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from certpin.lab import Authority
from certpin.pinfile import PinSet
from certpin.pins import Pin
from certpin.rotation import Timing, parse_duration
from tests import kit
from tests.cli import _documented
from tests.cli._pinfiles import write
from tests.cli._rotating import JOURNAL, days_pass, history, invariants, journal, states, stepped
from tests.cli.conftest import HOST, Run

OFFLINE = ("--offline",)
LEAF, BACKUP = Pin("sha256", bytes(range(7, 39))), kit.NOBODY


@pytest.fixture
def drafted(run: Run) -> Run:
    """An unpublished pin file with a comment."""
    write(kit.policy(HOST, LEAF, BACKUP))
    text = Path("pins.toml").read_text(encoding="utf-8")
    Path("pins.toml").write_text("# ours\n" + text, encoding="utf-8")
    return run


@pytest.fixture
def out(drafted: Run) -> Run:
    """The same, published a hundred days ago."""
    assert drafted("rotate", "publish", *OFFLINE, "--clients", "12").code == 0
    days_pass(100)
    return drafted


def new_key(run: Run, name: str = "new.key") -> Pin:
    """A key, generated and staged."""
    run("rotate", "generate", "--backup-key", name)
    run("rotate", "stage", name)
    return PinSet.load("pins.toml").policies[0].pins[-1].pin


def test_the_first_version_has_the_number_of_the_file(drafted: Run) -> None:
    done, facts = stepped(drafted, "publish", *OFFLINE)
    assert (done.code, facts["version"]) == (0, 3)
    assert facts["unknown"] == ["which keys are served now, because no server was contacted"]
    assert "first version in the journal" not in done.out
    (event,) = journal()
    assert (event.step, event.version, event.timing) == ("publish", 3, Timing())
    assert event.pins is not None
    assert event.pins.policies == PinSet.load("pins.toml").policies


def test_the_next_version_is_one_higher_and_keeps_comments(out: Run) -> None:
    new_key(out)
    before = Path("pins.toml").read_text(encoding="utf-8")
    done, facts = stepped(out, "publish", *OFFLINE)
    assert (done.code, facts["version"]) == (0, 4)
    text = Path("pins.toml").read_text(encoding="utf-8")
    assert text == before.replace("version = 3", "version = 4").replace('"staged"', '"published"')


def test_an_unchanged_draft_is_not_published(out: Run) -> None:
    done = out("rotate", "publish", *OFFLINE)
    assert (done.code, "nothing that clients would notice" in done.err) == (2, True)


def test_a_published_version_may_go_into_a_binary_too(out: Run) -> None:
    done, facts = stepped(out, "publish", "--bundled", *OFFLINE)
    assert (done.code, facts["version"]) == (0, 3)
    (version,) = history().deployed.versions
    assert version.bundled is not None
    assert version.clients == 12
    assert out("rotate", "publish", "--bundled", *OFFLINE).code == 2


@pytest.mark.medium
def test_a_binary_blocks_activation_until_its_end_is_recorded(out: Run) -> None:
    out("rotate", "publish", "--bundled", *OFFLINE)
    pin = new_key(out)
    out("rotate", "publish", *OFFLINE)
    days_pass(400)
    _, facts = stepped(out, "activate", str(pin), *OFFLINE)
    assert invariants(facts) == ["adopted"]
    assert facts["breaches"][0]["safe_from"] is None
    done, ended = stepped(out, "ended", "3")
    assert (done.code, ended["step"], ended["version"]) == (0, "ended", 3)
    assert stepped(out, "activate", str(pin), *OFFLINE)[0].code == 0


@pytest.mark.parametrize(
    ("version", "words"), [("9", "was never published"), ("3", "is the latest")]
)
def test_an_impossible_end_is_refused(out: Run, version: str, words: str) -> None:
    done = out("rotate", "ended", version)
    assert (done.code, words in done.err) == (2, True)
    assert len(journal()) == 1


@pytest.mark.medium
def test_the_delays_of_the_last_publish_apply_until_others_are_given(out: Run) -> None:
    new_key(out)
    out("rotate", "publish", *OFFLINE, "--opened", "2d")
    facts = out("rotate", "status", *OFFLINE, "--json").json
    _documented.check("rotation status", facts)
    assert facts["timing"]["opened"] == "2d"
    assert parse_duration(facts["timing"]["adopt"]) == (history().timing or Timing()).adopt
    other = out("rotate", "status", *OFFLINE, "--opened", "1d", "--json").json
    assert other["timing"]["opened"] == "1d"
    assert history().timing != Timing()


@pytest.mark.parametrize("text", ["soon", "-1h", "99999d"])
def test_an_invalid_delay_is_refused(out: Run, text: str) -> None:
    done = out("rotate", "status", *OFFLINE, f"--poll={text}")
    assert (done.code, "--poll" in done.err) == (2, True)


def test_generate_leaves_the_pin_file_unchanged(out: Run) -> None:
    before = Path("pins.toml").read_bytes()
    done, facts = stepped(out, "generate", "--backup-key", "new.key")
    assert (done.code, facts["hosts"]) == (0, [HOST])
    assert facts["next"] == "certpin rotate stage new.key"
    assert stat.S_IMODE(Path("new.key").stat().st_mode) == 0o600
    assert Path("pins.toml").read_bytes() == before
    event = journal()[-1]
    assert (event.step, event.note, str(event.pin)) == (
        "generate",
        "key file new.key",
        facts["pin"],
    )
    status = out("rotate", "status", *OFFLINE)
    assert "    GENERATED ┄ staged" in status.out


def test_generate_deletes_the_key_if_the_journal_cannot_be_written(out: Run) -> None:
    text = JOURNAL.read_bytes()
    JOURNAL.unlink()
    JOURNAL.mkdir()
    done = out("rotate", "generate", "--backup-key", "new.key")
    assert (done.code, "pins.journal.jsonl" in done.err) == (2, True)
    assert not Path("new.key").exists()
    JOURNAL.rmdir()
    JOURNAL.write_bytes(text)


@pytest.mark.parametrize("words", [(), ("--backup-pin", str(LEAF))])
def test_generate_refuses_a_key_that_is_not_new(out: Run, words: tuple[str, ...]) -> None:
    assert out("rotate", "generate", *words).code == 2
    assert len(journal()) == 1


@pytest.mark.parametrize("kind", ["key", "certificate", "pin"])
def test_a_key_is_staged_from_every_kind_of_file(out: Run, kind: str) -> None:
    identity = Authority("Some Root").issue(HOST)
    Path("key").write_bytes(identity.key_pem)
    Path("certificate").write_bytes(identity.chain_pem)
    done = out("rotate", "stage", str(identity.pin) if kind == "pin" else kind)
    assert done.code == 0
    entry = PinSet.load("pins.toml").policies[0].pins[-1]
    assert (entry.pin, entry.role, entry.state) == (identity.pin, "backup", "staged")
    assert entry.note == ("" if kind == "pin" else f"key file {kind}")


@pytest.mark.parametrize("what", ["no-such-file", "sha256/abc", "pins.toml", ".", "a\0b"])
def test_an_argument_without_a_key_is_a_typed_error(out: Run, what: str) -> None:
    done = out("rotate", "stage", what)
    assert (done.code, "names no key" in done.err) == (2, True)


def test_nothing_is_staged_before_a_version_is_recorded(drafted: Run) -> None:
    done = drafted("rotate", "stage", str(kit.NOBODY_ELSE))
    assert (done.code, "has no published version" in done.err) == (2, True)
    assert "certpin rotate publish" in done.err


def test_a_staged_pin_is_deleted_from_the_file(out: Run) -> None:
    before = Path("pins.toml").read_text(encoding="utf-8")
    pin = new_key(out)
    done, facts = stepped(out, "remove", str(pin), *OFFLINE)
    assert (done.code, facts["step"]) == (0, "unstage")
    assert Path("pins.toml").read_text(encoding="utf-8") == before


def test_a_pin_is_not_retired_if_the_served_keys_are_unknown(out: Run) -> None:
    _, facts = stepped(out, "retire", str(LEAF), *OFFLINE)
    assert invariants(facts) == ["unseen"]
    assert facts["breaches"][0]["clients"] == 12
    done, facts = stepped(out, "retire", str(LEAF), *OFFLINE, "--force", "--reason", "seen by hand")
    assert (done.code, facts["forced"]) == (0, True)
    assert states()[0] == "retiring"
    assert journal()[-1].reason == "seen by hand"


def test_a_safe_step_is_not_recorded_as_forced(out: Run) -> None:
    words = ("--force", "--reason", "just so")
    assert out("rotate", "activate", str(BACKUP), *OFFLINE, *words).code == 0
    assert journal()[-1].reason == ""


@pytest.mark.parametrize("words", [("--force",), ("--force", "--reason", " "), ("--reason", "x")])
def test_force_and_reason_go_together(out: Run, words: tuple[str, ...]) -> None:
    assert out("rotate", "activate", str(LEAF), *OFFLINE, *words).code == 2


@pytest.mark.medium
def test_a_compromised_key_is_never_used_again(out: Run) -> None:
    pin = new_key(out)
    assert out("rotate", "compromise", str(pin), *OFFLINE).code == 0
    assert states()[-1] == "compromised"
    status = out("rotate", "status", *OFFLINE)
    assert "COMPROMISED: it is never used again" in status.out
    assert out("rotate", "activate", str(pin), *OFFLINE).code == 2
    text = Path("pins.toml").read_text(encoding="utf-8").replace('"compromised"', '"staged"')
    Path("pins.toml").write_text(text, encoding="utf-8")
    _, facts = stepped(out, "publish", *OFFLINE)
    assert invariants(facts) == ["compromised"]
    assert PinSet.load("pins.toml").version == 3


def test_a_key_is_not_marked_compromised_without_a_backup(out: Run) -> None:
    done = out("rotate", "compromise", str(LEAF), *OFFLINE)
    assert (done.code, "has only one pin" in done.err) == (2, True)
    assert "certpin rotate stage" in done.err


def test_the_journal_has_the_name_of_the_person(out: Run) -> None:
    out("rotate", "stage", str(Authority("x").pin), "--who", "ada\x1b[2J")
    assert journal()[-1].who == "ada\\x1b[2J"
    out("rotate", "activate", str(BACKUP), *OFFLINE, CERTPIN_WHO="ben")
    assert journal()[-1].who == "ben"
    assert journal()[0].who


@pytest.mark.medium
def test_a_merged_journal_is_read_and_its_contradictions_reported(out: Run) -> None:
    new_key(out)
    mine = Path("pins.toml").read_text(encoding="utf-8")
    out("rotate", "publish", *OFFLINE)
    ours = JOURNAL.read_text(encoding="utf-8").splitlines(keepends=True)[-1]
    text = JOURNAL.read_text(encoding="utf-8").removesuffix(ours)
    JOURNAL.write_text(text, encoding="utf-8")
    Path("pins.toml").write_text(mine, encoding="utf-8")
    new_key(out, "theirs.key")
    out("rotate", "publish", *OFFLINE)
    merged = ours + JOURNAL.read_text(encoding="utf-8") + ours
    JOURNAL.write_text(merged, encoding="utf-8")
    done = out("rotate", "status", *OFFLINE, "--json")
    assert "certpin: warning: pins.journal.jsonl: version 4 was published twice" in done.err
    assert len(done.json["contradictions"]) == 1
    assert [version["version"] for version in done.json["versions"]] == [3, 4, 4]


def test_a_conflict_in_the_journal_is_an_error_with_its_line(out: Run) -> None:
    JOURNAL.write_text(JOURNAL.read_text(encoding="utf-8") + "<<<<<<< HEAD\n", encoding="utf-8")
    done = out("rotate", "status", *OFFLINE)
    assert done.code == 2
    assert done.err.startswith(
        "certpin: pins.journal.jsonl:2: the line is a conflict marker of git"
    )


@pytest.mark.parametrize(
    ("data", "words"), [(b"\xff\n", "not UTF-8"), (b"{}", "schema is missing")]
)
def test_an_invalid_journal_is_an_error(out: Run, data: bytes, words: str) -> None:
    JOURNAL.write_bytes(JOURNAL.read_bytes() + data)
    done = out("rotate", "status", *OFFLINE)
    assert (done.code, words in done.err) == (2, True)
    assert "pins.journal.jsonl:2" in done.err


def test_a_last_line_without_a_line_end_is_completed_first(out: Run) -> None:
    JOURNAL.write_bytes(JOURNAL.read_bytes().rstrip(b"\n"))
    assert out("rotate", "stage", str(Authority("x").pin)).code == 0
    assert len(journal()) == 2


def test_an_unwritable_journal_leaves_the_pin_file_unchanged(
    out: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Path("pins.toml").read_bytes()
    real = os.fsync
    calls: list[int] = []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 3:  # the pin file and its folder are first
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    done = out("rotate", "stage", str(Authority("x").pin))
    assert (done.code, "No space left on device" in done.err) == (2, True)
    assert Path("pins.toml").read_bytes() == before


@pytest.mark.medium
def test_a_key_of_several_hosts_changes_at_all_of_them_or_at_those_named(run: Run) -> None:
    write(kit.policy(HOST, LEAF, BACKUP), kit.policy("other.example", LEAF, BACKUP))
    run("rotate", "publish", *OFFLINE)
    _, both = stepped(run, "activate", str(LEAF), *OFFLINE)
    assert both["hosts"] == [HOST, "other.example"]
    _, one = stepped(run, "activate", str(LEAF), *OFFLINE, "--host", "other.example")
    assert one["hosts"] == ["other.example"]
    unclear = run("rotate", "stage", str(Authority("x").pin))
    assert (unclear.code, "--host" in unclear.err) == (2, True)
    assert run("rotate", "stage", str(Authority("x").pin), "--host", HOST).code == 0


def test_the_keys_of_a_wildcard_without_servers_are_unknown(run: Run) -> None:
    write(kit.policy("*.shops.example", LEAF))
    done = run("rotate", "status")
    assert (done.code, "a wildcard names no host" in done.out) == (0, True)


def test_notes_are_printed_safely(run: Run) -> None:
    write(kit.policy(HOST, LEAF, BACKUP))
    text = Path("pins.toml").read_text(encoding="utf-8") + 'note = "\\u001b[2J"\n'
    Path("pins.toml").write_text(text, encoding="utf-8")
    done = run("rotate", "status", *OFFLINE)
    assert "\x1b" not in done.out
    assert "\\x1b[2J" in done.out


def test_a_served_file_without_a_chain_is_an_error(out: Run) -> None:
    Path("eu.pem").write_text("nothing", encoding="utf-8")
    done = out("rotate", "status", *OFFLINE, "--served", "eu.pem")
    assert (done.code, "eu.pem is not a chain" in done.err) == (2, True)


def test_an_impossible_plan_ends_with_its_reason(out: Run) -> None:
    done = out("rotate", "plan", "--to", str(LEAF), *OFFLINE)
    assert done.code == 0
    out("rotate", "publish", "--bundled", *OFFLINE)
    done = out("rotate", "plan", "--to", str(Authority("x").pin), *OFFLINE)
    assert done.code == 1
    assert "Impossible after that: " in done.out
    assert "certpin rotate ended" in done.out


def test_a_signed_set_counts_from_its_push_and_activate_says_so(
    out: Run,
) -> None:
    new_key(out)
    done = out("rotate", "publish", *OFFLINE, "--signed")
    assert (done.code, "certpin publish push" in done.out) == (0, True)
    days_pass(90)
    status = out("rotate", "status", *OFFLINE)
    assert "not pushed yet (certpin publish push)" in status.out
    refused, facts = stepped(out, "activate", "new.key", *OFFLINE)
    assert (refused.code, invariants(facts)) == (1, ["adopted"])
    assert "certpin publish push" in facts["breaches"][0]["fix"]
    planned = out("rotate", "plan", "--to", "new.key", *OFFLINE)
    assert "certpin publish push" in planned.out


def test_versions_are_signed_by_default_with_a_publish_folder_or_after_a_signed_one(
    out: Run,
) -> None:
    Path("publish").mkdir()
    Path("publish/publish.toml").touch()
    new_key(out)
    assert out("rotate", "publish", *OFFLINE).code == 0
    assert journal()[-1].signed
    Path("publish/publish.toml").unlink()
    assert out("rotate", "publish", *OFFLINE, "--bundled").code == 0
    assert not journal()[-1].signed
    assert history().signed
