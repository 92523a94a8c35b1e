"""``certpin rotate`` without a network: changes of the pin file, its version and the journal."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from certpin.lab import Authority
from certpin.pinfile import PinSet
from certpin.pins import Pin
from certpin.rotation import AdoptionDelays, parse_duration
from tests import kit
from tests.cli import _documented
from tests.cli._pinfiles import write
from tests.cli._rotating import (
    APP,
    JOURNAL,
    days_pass,
    history,
    invariants,
    journal,
    next_number,
    record_signed,
    states,
    stepped,
)
from tests.cli.conftest import HOST, Run

OFFLINE = ("--offline",)
LEAF, BACKUP = Pin("sha256", bytes(range(7, 39))), kit.NOBODY


@pytest.fixture
def drafted(run: Run) -> Run:
    """Write a pin file that begins with a comment and is not published.

    Return the function that runs commands.
    """
    write(kit.policy(HOST, LEAF, BACKUP))
    text = Path("pins.toml").read_text(encoding="utf-8")
    Path("pins.toml").write_text("# ours\n" + text, encoding="utf-8")
    return run


@pytest.fixture
def out(drafted: Run) -> Run:
    """Publish the pin file a hundred days ago. Return the function that runs commands."""
    assert drafted("rotate", "shipped", next_number(), *OFFLINE, "--clients", "12").code == 0
    days_pass(100)
    return drafted


def new_key(run: Run, name: str = "new.key") -> Pin:
    """Make a key in the file ``name``, add its pin to the next version, and return the pin."""
    assert run("rotate", "start", "--new", name).code == 0
    return PinSet.load("pins.toml").policies[0].pins[-1].pin


def test_the_first_version_has_the_number_of_the_file(drafted: Run) -> None:
    done, facts = stepped(drafted, "shipped", next_number(), *OFFLINE)
    assert (done.code, facts["version"]) == (0, 3)
    assert facts["unknown"] == ["which keys are served now, because no server was contacted"]
    assert "first version in the journal" not in done.out
    (event,) = journal()
    assert (event.step, event.version, event.timing) == ("publish", 3, AdoptionDelays())
    assert event.pins is not None
    assert event.pins.policies == PinSet.load("pins.toml").policies


def test_lower_versions_are_recorded_before_the_first_one(drafted: Run) -> None:
    """A lower version is refused afterwards, so the first record says what to do before others."""
    now = Path("pins.toml").read_text("utf-8")
    done = drafted("rotate", "shipped", "3", *OFFLINE)
    assert "remove pins.journal.jsonl, and record those first" in done.out
    Path("pins.toml").write_text(now.replace("version = 3", "version = 2"), "utf-8")
    assert drafted("rotate", "shipped", "2", *OFFLINE).code == 1
    Path("pins.journal.jsonl").unlink()
    assert drafted("rotate", "shipped", "2", *OFFLINE).code == 0
    Path("pins.toml").write_text(now, "utf-8")
    assert drafted("rotate", "shipped", "3", *OFFLINE).code == 0
    assert "warning" not in drafted("rotate", "status", *OFFLINE).err


def test_states_that_a_step_writes_need_no_new_version(out: Run) -> None:
    new_key(out)
    Path("before.toml").write_bytes(Path("pins.toml").read_bytes())
    assert out("rotate", "shipped", next_number(), *OFFLINE).code == 0
    text = Path("before.toml").read_text(encoding="utf-8").replace("version = 3", "version = 4")
    Path("before.toml").write_text(text, encoding="utf-8")
    done = out("diff", "before.toml", "pins.toml")
    assert (done.code, done.out.splitlines()[-1]) == (0, "0 breaks, 0 careful, 1 safe")


def test_the_next_version_is_one_higher_and_keeps_comments(out: Run) -> None:
    new_key(out)
    before = Path("pins.toml").read_text(encoding="utf-8")
    done, facts = stepped(out, "shipped", next_number(), *OFFLINE)
    assert (done.code, facts["version"]) == (0, 4)
    text = Path("pins.toml").read_text(encoding="utf-8")
    assert text == before.replace("version = 3", "version = 4").replace('"staged"', '"published"')


def test_an_unchanged_draft_is_not_published(out: Run) -> None:
    done = out("rotate", "shipped", next_number(), *OFFLINE)
    assert (done.code, "is recorded already" in done.err) == (2, True)


def test_a_published_version_may_go_into_a_binary_too(out: Run) -> None:
    done, facts = stepped(out, "shipped", next_number(), *APP, *OFFLINE)
    assert (done.code, facts["version"]) == (0, 3)
    (version,) = history().deployed.versions
    assert version.bundled is not None
    assert version.clients == 12
    assert [each.name for each in version.releases] == ["1"]


@pytest.mark.medium
def test_a_binary_blocks_activation_until_its_end_is_recorded(out: Run) -> None:
    out("rotate", "shipped", next_number(), *APP, *OFFLINE)
    pin = new_key(out)
    out("rotate", "shipped", next_number(), *OFFLINE)
    days_pass(400)
    _, facts = stepped(out, "switch", str(pin), *OFFLINE)
    assert invariants(facts) == ["adopted"]
    assert facts["breaches"][0]["safe_from"] is None
    done, ended = stepped(out, "shipped", "3", "--ended")
    assert (done.code, ended["step"], ended["version"]) == (0, "ended", 3)
    assert stepped(out, "switch", str(pin), *OFFLINE)[0].code == 0


@pytest.mark.parametrize(
    ("version", "words"), [("9", "is not recorded"), ("3", "clients fetch version 3 now")]
)
def test_an_impossible_end_is_refused(out: Run, version: str, words: str) -> None:
    done = out("rotate", "shipped", version, "--ended")
    assert (done.code, words in done.err) == (2, True)
    assert len(journal()) == 1


@pytest.mark.medium
def test_the_delays_of_the_last_publish_apply_until_others_are_given(out: Run) -> None:
    new_key(out)
    out("rotate", "shipped", next_number(), *OFFLINE, "--opened", "2d")
    facts = out("rotate", "status", *OFFLINE, "--json").json
    _documented.check("rotation status", facts)
    assert facts["timing"]["opened"] == "2d"
    assert parse_duration(facts["timing"]["adopt"]) == (history().timing or AdoptionDelays()).adopt
    other = out("rotate", "status", *OFFLINE, "--opened", "1d", "--json").json
    assert other["timing"]["opened"] == "1d"
    assert history().timing != AdoptionDelays()


@pytest.mark.parametrize("text", ["soon", "-1h", "99999d"])
def test_an_invalid_delay_is_refused(out: Run, text: str) -> None:
    done = out("rotate", "status", *OFFLINE, f"--poll={text}")
    assert (done.code, "--poll" in done.err) == (2, True)


def test_nothing_is_staged_before_a_version_is_recorded(drafted: Run) -> None:
    done = drafted("rotate", "start", str(kit.NOBODY_ELSE))
    assert (done.code, "has no published version" in done.err) == (2, True)
    assert "certpin rotate shipped VERSION" in done.err  # its number is not that of a first version
    text = Path("pins.toml").read_text(encoding="utf-8")
    Path("pins.toml").write_text(text.replace("version = 3", "version = 1"), encoding="utf-8")
    done = drafted("rotate", "start", str(kit.NOBODY_ELSE))
    assert "certpin rotate shipped 1 for any other" in done.err


def test_a_staged_pin_is_deleted_from_the_file(out: Run) -> None:
    before = Path("pins.toml").read_text(encoding="utf-8")
    pin = new_key(out)
    done, facts = stepped(out, "finish", str(pin), *OFFLINE)
    assert (done.code, [each["step"] for each in facts["events"]]) == (0, ["unstage"])
    text = Path("pins.toml").read_text(encoding="utf-8")
    assert text == before.replace("version = 3", "version = 4")


def test_a_pin_is_not_retired_if_the_served_keys_are_unknown(out: Run) -> None:
    _, facts = stepped(out, "finish", str(LEAF), *OFFLINE)
    assert invariants(facts) == ["unseen"]
    assert facts["breaches"][0]["clients"] == 12
    words = (*OFFLINE, "--force", "--reason", "seen by hand")
    lonely = out("rotate", "finish", str(LEAF), *words)
    assert (lonely.code, "has only one pin" in lonely.err) == (2, True)
    new_key(out)
    done, facts = stepped(out, "finish", str(LEAF), *OFFLINE, "--force", "--reason", "seen by hand")
    assert (done.code, facts["forced"]) == (0, True)
    assert states()[0] == "removed"
    assert [event.reason for event in journal()[-2:]] == ["seen by hand"] * 2


def test_a_safe_step_is_not_recorded_as_forced(out: Run) -> None:
    words = ("--force", "--reason", "just so")
    assert out("rotate", "switch", str(BACKUP), *OFFLINE, *words).code == 0
    assert journal()[-1].reason == ""


@pytest.mark.parametrize("words", [("--force",), ("--force", "--reason", " "), ("--reason", "x")])
def test_force_and_reason_go_together(out: Run, words: tuple[str, ...]) -> None:
    assert out("rotate", "switch", str(LEAF), *OFFLINE, *words).code == 2


@pytest.mark.medium
def test_a_compromised_key_is_never_used_again(out: Run) -> None:
    pin = new_key(out)
    assert out("rotate", "emergency", str(pin), "--stolen", *OFFLINE).code == 0
    assert states()[-1] == "compromised"
    status = out("rotate", "status", *OFFLINE)
    assert "COMPROMISED: it is never used again" in status.out
    assert out("rotate", "switch", str(pin), *OFFLINE).code == 1
    text = Path("pins.toml").read_text(encoding="utf-8").replace('"compromised"', '"staged"')
    Path("pins.toml").write_text(text, encoding="utf-8")
    refused = out("rotate", "shipped", next_number(), *OFFLINE)
    assert (refused.code, f"records {pin} as COMPROMISED" in refused.err) == (2, True)
    assert out("rotate", "emergency", str(pin), "--stolen", *OFFLINE).code == 0
    assert states()[-1] == "compromised"  # the journal counts more than the file
    assert stepped(out, "shipped", next_number(), *OFFLINE)[0].code == 0
    assert states()[-1] == "compromised"


def test_the_journal_has_the_name_of_the_person(out: Run) -> None:
    out("rotate", "start", str(Authority("x").pin), "--who", "ada\x1b[2J")
    assert journal()[-1].who == "ada\\x1b[2J"
    out("rotate", "switch", str(BACKUP), *OFFLINE, CERTPIN_WHO="ben")
    assert journal()[-1].who == "ben"
    assert journal()[0].who


@pytest.mark.medium
def test_a_merged_journal_is_read_and_its_contradictions_reported(out: Run) -> None:
    new_key(out)
    mine = Path("pins.toml").read_text(encoding="utf-8")
    out("rotate", "shipped", next_number(), *OFFLINE)
    ours = JOURNAL.read_text(encoding="utf-8").splitlines(keepends=True)[-1]
    text = JOURNAL.read_text(encoding="utf-8").removesuffix(ours)
    JOURNAL.write_text(text, encoding="utf-8")
    Path("pins.toml").write_text(mine, encoding="utf-8")
    new_key(out, "theirs.key")
    out("rotate", "shipped", next_number(), *OFFLINE)
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
    assert out("rotate", "start", str(Authority("x").pin)).code == 0
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
    done = out("rotate", "start", str(Authority("x").pin))
    assert (done.code, "No space left on device" in done.err) == (2, True)
    assert Path("pins.toml").read_bytes() == before


@pytest.mark.medium
def test_a_key_of_several_hosts_changes_at_all_of_them_or_at_those_named(run: Run) -> None:
    write(kit.policy(HOST, LEAF, BACKUP), kit.policy("other.example", LEAF, BACKUP))
    run("rotate", "shipped", next_number(), *OFFLINE)
    _, both = stepped(run, "switch", str(LEAF), *OFFLINE)
    assert both["hosts"] == [HOST, "other.example"]
    _, one = stepped(run, "switch", str(LEAF), *OFFLINE, "--host", "other.example")
    assert one["hosts"] == ["other.example"]
    _, all_hosts = stepped(run, "start", str(Authority("y").pin))
    assert all_hosts["hosts"] == [HOST, "other.example"]  # their servers use the same keys
    assert run("rotate", "start", str(Authority("x").pin), "--host", HOST).code == 0


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
    out("rotate", "shipped", next_number(), *APP, *OFFLINE)
    done = out("rotate", "plan", "--to", str(Authority("x").pin), *OFFLINE)
    assert done.code == 1
    assert "Impossible after that: " in done.out
    assert "certpin rotate shipped 3 --ended" in " ".join(done.out.split())


def test_a_signed_set_counts_from_its_push_and_activate_says_so(
    out: Run,
) -> None:
    new_key(out)
    record_signed()
    days_pass(90)
    status = out("rotate", "status", *OFFLINE)
    assert "not pushed yet (certpin publish push)" in status.out
    refused, facts = stepped(out, "switch", "new.key", *OFFLINE)
    assert (refused.code, invariants(facts)) == (1, ["adopted"])
    assert facts["breaches"][0]["fix"].startswith("push version 4 (certpin rotate status prints")
    planned = out("rotate", "plan", "--to", "new.key", *OFFLINE)
    assert "certpin publish push" in planned.out
