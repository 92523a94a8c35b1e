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
    """A pin file with a comment, of which nothing is out yet."""
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


def test_the_first_version_is_the_one_that_the_file_has(drafted: Run) -> None:
    done, facts = stepped(drafted, "publish", *OFFLINE)
    assert (done.code, facts["version"]) == (0, 3)
    assert facts["unknown"] == ["which keys are served now, because no server was contacted"]
    assert "first version in the journal" not in done.out
    (event,) = journal()
    assert (event.step, event.version, event.timing) == ("publish", 3, Timing())
    assert event.pins is not None
    assert event.pins.policies == PinSet.load("pins.toml").policies


def test_the_next_version_is_one_higher_and_comments_stay(out: Run) -> None:
    new_key(out)
    before = Path("pins.toml").read_text(encoding="utf-8")
    done, facts = stepped(out, "publish", *OFFLINE)
    assert (done.code, facts["version"]) == (0, 4)
    text = Path("pins.toml").read_text(encoding="utf-8")
    assert text == before.replace("version = 3", "version = 4").replace('"staged"', '"published"')


def test_what_clients_would_not_notice_is_not_published(out: Run) -> None:
    done = out("rotate", "publish", *OFFLINE)
    assert (done.code, "nothing that clients would notice" in done.err) == (2, True)


def test_the_version_that_is_out_goes_into_a_binary_too(out: Run) -> None:
    done, facts = stepped(out, "publish", "--bundled", *OFFLINE)
    assert (done.code, facts["version"]) == (0, 3)
    (version,) = history().deployed.versions
    assert version.bundled is not None
    assert version.clients == 12
    assert out("rotate", "publish", "--bundled", *OFFLINE).code == 2


def test_a_binary_is_waited_for_until_somebody_says_that_it_has_ended(out: Run) -> None:
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
def test_what_cannot_have_ended_is_refused(out: Run, version: str, words: str) -> None:
    done = out("rotate", "ended", version)
    assert (done.code, words in done.err) == (2, True)
    assert len(journal()) == 1


def test_the_delays_of_the_last_publish_hold_until_others_are_given(out: Run) -> None:
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
def test_a_delay_that_is_none_is_refused(out: Run, text: str) -> None:
    done = out("rotate", "status", *OFFLINE, f"--poll={text}")
    assert (done.code, "--poll" in done.err) == (2, True)


def test_a_key_is_generated_and_the_pin_file_stays_as_it_is(out: Run) -> None:
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


def test_a_key_whose_journal_cannot_be_written_is_taken_back(out: Run) -> None:
    text = JOURNAL.read_bytes()
    JOURNAL.unlink()
    JOURNAL.mkdir()
    done = out("rotate", "generate", "--backup-key", "new.key")
    assert (done.code, "pins.journal.jsonl" in done.err) == (2, True)
    assert not Path("new.key").exists()
    JOURNAL.rmdir()
    JOURNAL.write_bytes(text)


@pytest.mark.parametrize("words", [(), ("--backup-pin", str(LEAF))])
def test_what_is_no_new_key_is_not_generated(out: Run, words: tuple[str, ...]) -> None:
    assert out("rotate", "generate", *words).code == 2
    assert len(journal()) == 1


@pytest.mark.parametrize("kind", ["key", "certificate", "pin"])
def test_a_key_is_staged_from_whatever_holds_it(out: Run, kind: str) -> None:
    identity = Authority("Some Root").issue(HOST)
    Path("key").write_bytes(identity.key_pem)
    Path("certificate").write_bytes(identity.chain_pem)
    done = out("rotate", "stage", str(identity.pin) if kind == "pin" else kind)
    assert done.code == 0
    entry = PinSet.load("pins.toml").policies[0].pins[-1]
    assert (entry.pin, entry.role, entry.state) == (identity.pin, "backup", "staged")
    assert entry.note == ("" if kind == "pin" else f"key file {kind}")


@pytest.mark.parametrize("what", ["no-such-file", "sha256/abc", "pins.toml", ".", "a\0b"])
def test_what_names_no_key_is_a_typed_error(out: Run, what: str) -> None:
    done = out("rotate", "stage", what)
    assert (done.code, "names no key" in done.err) == (2, True)


def test_before_a_version_is_recorded_nothing_is_staged(drafted: Run) -> None:
    done = drafted("rotate", "stage", str(kit.NOBODY_ELSE))
    assert (done.code, "has no published version" in done.err) == (2, True)
    assert "certpin rotate publish" in done.err


def test_a_pin_that_was_only_staged_is_taken_out_without_a_trace_in_the_file(out: Run) -> None:
    before = Path("pins.toml").read_text(encoding="utf-8")
    pin = new_key(out)
    done, facts = stepped(out, "remove", str(pin), *OFFLINE)
    assert (done.code, facts["step"]) == (0, "unstage")
    assert Path("pins.toml").read_text(encoding="utf-8") == before


def test_a_pin_does_not_retire_where_nobody_has_looked(out: Run) -> None:
    _, facts = stepped(out, "retire", str(LEAF), *OFFLINE)
    assert invariants(facts) == ["unseen"]
    assert facts["breaches"][0]["clients"] == 12
    done, facts = stepped(out, "retire", str(LEAF), *OFFLINE, "--force", "--reason", "seen by hand")
    assert (done.code, facts["forced"]) == (0, True)
    assert states()[0] == "retiring"
    assert journal()[-1].reason == "seen by hand"


def test_where_nothing_is_broken_nothing_was_forced(out: Run) -> None:
    words = ("--force", "--reason", "just so")
    assert out("rotate", "activate", str(BACKUP), *OFFLINE, *words).code == 0
    assert journal()[-1].reason == ""


@pytest.mark.parametrize("words", [("--force",), ("--force", "--reason", " "), ("--reason", "x")])
def test_force_and_reason_go_together(out: Run, words: tuple[str, ...]) -> None:
    assert out("rotate", "activate", str(LEAF), *OFFLINE, *words).code == 2


def test_a_compromised_key_never_comes_back(out: Run) -> None:
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


def test_the_last_but_one_key_is_not_compromised_before_there_is_another(out: Run) -> None:
    done = out("rotate", "compromise", str(LEAF), *OFFLINE)
    assert (done.code, "has only one pin" in done.err) == (2, True)
    assert "certpin rotate stage" in done.err


def test_who_did_it_is_in_the_journal(out: Run) -> None:
    out("rotate", "stage", str(Authority("x").pin), "--who", "ada\x1b[2J")
    assert journal()[-1].who == "ada\\x1b[2J"
    out("rotate", "activate", str(BACKUP), *OFFLINE, CERTPIN_WHO="ben")
    assert journal()[-1].who == "ben"
    assert journal()[0].who


def test_a_journal_of_two_branches_is_read_and_what_contradicts_is_told(out: Run) -> None:
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
    assert [each["version"] for each in done.json["versions"]] == [3, 4, 4]


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
def test_a_journal_that_is_none_is_an_error(out: Run, data: bytes, words: str) -> None:
    JOURNAL.write_bytes(JOURNAL.read_bytes() + data)
    done = out("rotate", "status", *OFFLINE)
    assert (done.code, words in done.err) == (2, True)
    assert "pins.journal.jsonl:2" in done.err


def test_a_last_line_that_lost_its_end_is_not_written_on(out: Run) -> None:
    JOURNAL.write_bytes(JOURNAL.read_bytes().rstrip(b"\n"))
    assert out("rotate", "stage", str(Authority("x").pin)).code == 0
    assert len(journal()) == 2


def test_a_journal_that_cannot_be_written_leaves_the_pin_file_as_it_was(
    out: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Path("pins.toml").read_bytes()
    real = os.fsync
    calls: list[int] = []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 3:  # the pin file and its folder come first
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    done = out("rotate", "stage", str(Authority("x").pin))
    assert (done.code, "No space left on device" in done.err) == (2, True)
    assert Path("pins.toml").read_bytes() == before


def test_a_key_of_several_hosts_moves_at_all_of_them_or_where_it_is_said(run: Run) -> None:
    write(kit.policy(HOST, LEAF, BACKUP), kit.policy("other.example", LEAF, BACKUP))
    run("rotate", "publish", *OFFLINE)
    _, both = stepped(run, "activate", str(LEAF), *OFFLINE)
    assert both["hosts"] == [HOST, "other.example"]
    _, one = stepped(run, "activate", str(LEAF), *OFFLINE, "--host", "other.example")
    assert one["hosts"] == ["other.example"]
    unclear = run("rotate", "stage", str(Authority("x").pin))
    assert (unclear.code, "--host" in unclear.err) == (2, True)
    assert run("rotate", "stage", str(Authority("x").pin), "--host", HOST).code == 0


def test_a_wildcard_without_a_host_is_not_known(run: Run) -> None:
    write(kit.policy("*.shops.example", LEAF))
    done = run("rotate", "status")
    assert (done.code, "a wildcard has no host of its own" in done.out) == (0, True)


def test_what_a_note_says_is_printed_safely(run: Run) -> None:
    write(kit.policy(HOST, LEAF, BACKUP))
    text = Path("pins.toml").read_text(encoding="utf-8") + 'note = "\\u001b[2J"\n'
    Path("pins.toml").write_text(text, encoding="utf-8")
    done = run("rotate", "status", *OFFLINE)
    assert "\x1b" not in done.out
    assert "\\x1b[2J" in done.out


def test_a_served_file_that_is_no_chain_is_told(out: Run) -> None:
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


def test_a_signed_set_is_out_when_it_is_pushed_and_who_activates_before_is_told_so(
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


def test_a_folder_to_publish_from_makes_versions_signed_and_so_does_the_one_before(
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
