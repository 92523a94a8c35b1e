"""``certpin rotate emergency``: records a lost or stolen key, and prints the commands that help.

The key is recorded even if the pin file or the journal is invalid, or a server does not answer.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest

from certpin.cli.rotate import COMMANDS
from certpin.lab import Authority
from certpin.pinfile import PinSet
from certpin.pins import Pin, utc_now
from certpin.rotation import NEXT_BACKUP, Event, format_journal
from certpin.x509.keys import new_private_key
from tests import kit
from tests.cli import _documented
from tests.cli._pinfiles import write
from tests.cli._rotating import JOURNAL, journal, states
from tests.cli._terminal import on_terminal
from tests.cli.conftest import HOST, Run

if TYPE_CHECKING:
    from certpin.pins import HostPolicy
    from tests.cli.conftest import Done

ACTIVE, BACKUP, SPARE = Pin("sha256", bytes(range(7, 39))), kit.NOBODY, kit.NOBODY_ELSE
DAY = timedelta(days=1)


def policy(*pins: Pin, host: str = HOST, **fields: Any) -> HostPolicy:
    """Return a policy: the first pin is the active leaf's, the others are published backups."""
    made = kit.policy(host, *pins, **fields)
    leaf, *backups = made.pins
    others = [replace(each, role="backup", state="published") for each in backups]
    return replace(made, pins=(leaf, *others))


def published(*, days: float = 90, bundled: bool = False, clients: int = 1200) -> None:
    """Record the pin file as published ``days`` ago to a number of clients.

    ``bundled`` is True if the version was built into apps.
    """
    pins = PinSet.load("pins.toml")
    event = Event(
        utc_now() - days * DAY,
        "anna",
        "publish",
        version=pins.version,
        bundled=bundled,
        clients=clients,
        pins=pins,
    )
    with JOURNAL.open("a", encoding="utf-8") as file:
        file.write(format_journal([event]))


@pytest.fixture
def two(run: Run) -> Run:
    """Publish a pin file with two pins, the minimum. Return the function that runs commands."""
    write(policy(ACTIVE, BACKUP))
    published()
    return run


@pytest.fixture
def three(run: Run) -> Run:
    """Publish a pin file with two pins and a spare one. Return the function that runs commands."""
    write(policy(ACTIVE, BACKUP, SPARE))
    published()
    return run


def reported(run: Run, pin: Pin, *words: str) -> tuple[Done, dict[str, Any]]:
    done = run("rotate", "emergency", str(pin), *words, "--offline", "--json")
    _documented.check("emergency", done.json)
    return done, done.json


def acts(facts: dict[str, Any]) -> list[str]:
    return [step["act"] for step in facts["hosts"][0]["steps"]]


def recorded() -> list[str]:
    return [event.step for event in journal()]


def test_a_stolen_key_with_two_pins_has_a_safe_path(two: Run) -> None:
    before = Path("pins.toml").read_bytes()
    done, facts = reported(two, ACTIVE, "--stolen")
    assert (done.code, facts["safe"], recorded()) == (0, True, ["publish", "compromise"])
    assert acts(facts) == ["request", "switch", "install", "start", "publish", "revoke"]
    assert facts["hosts"][0]["exposure"]["clients"] == 1200
    assert (facts["unmarked"], facts["marked"]) == ([HOST], [])
    assert Path("pins.toml").read_bytes() == before


def test_a_note_longer_than_any_file_name_names_no_file(two: Run) -> None:
    file = Path("pins.toml")
    pin = f'pin = "{BACKUP}"\n'
    file.write_text(file.read_text().replace(pin, f'{pin}note = "key file {"in a safe " * 500}"\n'))
    done, facts = reported(two, ACTIVE, "--stolen")
    assert (done.code, facts["safe"]) == (0, True)


def test_the_pin_file_marks_the_key_as_soon_as_it_has_another_backup(two: Run) -> None:
    reported(two, ACTIVE, "--stolen")
    assert two("rotate", "start", "--new", "next.key").code == 0
    assert states() == ["compromised", "published", "staged"]
    assert PinSet.load("pins.toml").version == 4


def test_the_first_line_is_certain_and_the_commands_follow(three: Run) -> None:
    done = three("rotate", "emergency", str(ACTIVE), "--stolen", "--offline")
    lines = done.out.splitlines()
    assert lines[0] == (
        f"RECORDED: {ACTIVE} is COMPROMISED at {HOST}. No step lets servers use it."
    )
    assert lines[1] == "pins.toml (version 4) marks it too."
    assert "Do now, in this order:" in lines
    assert f"       certpin rotate switch {BACKUP}" in lines
    assert "       certpin rotate shipped 4" in lines
    assert states() == ["compromised", "published", "published"]


def test_a_lost_backup_is_marked_at_once(two: Run) -> None:
    done, facts = reported(two, BACKUP, "--lost")
    assert (done.code, recorded()[-1], states()) == (0, "lose", ["active", "lost"])
    assert (facts["version"], facts["hosts"][0]["exposure"]) == (4, None)
    assert acts(facts) == ["start", "finish", "publish"]


def test_a_fact_is_recorded_without_a_published_version(run: Run) -> None:
    write(policy(ACTIVE, BACKUP))
    done, facts = reported(run, ACTIVE, "--stolen")
    assert (done.code, facts["safe"], recorded()) == (1, False, ["compromise"])
    done = run("rotate", "emergency", str(ACTIVE), "--stolen", "--offline")
    assert "NO SAFE PATH IS KNOWN: " in done.out
    assert "certpin rotate shipped VERSION" in done.out
    assert str(NEXT_BACKUP) not in done.out + json.dumps(facts)


def test_the_advice_without_a_recorded_version_leads_to_the_right_exposure(run: Run) -> None:
    """The printed command records the pin file that clients have, without the stolen pin's mark.

    The next version then marks the pin as compromised.
    """
    write(policy(ACTIVE, BACKUP, SPARE))
    text = Path("pins.toml").read_text(encoding="utf-8").replace("version = 3", "version = 1")
    Path("pins.toml").write_text(text, encoding="utf-8")
    before = Path("pins.toml").read_bytes()
    done = run("rotate", "emergency", str(ACTIVE), "--stolen", "--offline")
    assert (done.code, Path("pins.toml").read_bytes()) == (1, before)
    (line,) = [each for each in done.out.splitlines() if each.startswith("Record the version")]
    command = line.partition("certpin ")[2]
    assert run(*shlex.split(command), "--offline").code == 0
    done, facts = reported(run, ACTIVE, "--stolen")
    assert (done.code, facts["version"], states()[0]) == (0, 2, "compromised")
    assert facts["hosts"][0]["exposure"]["until"] is not None


def test_no_path_is_safe_for_a_host_that_the_pin_file_dropped(run: Run) -> None:
    write(policy(ACTIVE, BACKUP), policy(ACTIVE, BACKUP, host="other.example"))
    published()
    write(policy(SPARE, BACKUP, host="other.example"))
    done, facts = reported(run, ACTIVE, "--stolen")
    assert (done.code, facts["safe"]) == (1, False)
    assert HOST in facts["problem"]


CONFLICT = "schema = 1\n<<<<<<< HEAD\nversion = 4\n=======\nversion = 5\n>>>>>>> 3f2a\n"


@pytest.mark.parametrize("content", ["not TOML", None, "schema = 1\n", CONFLICT])
def test_a_fact_is_recorded_with_an_invalid_pin_file(two: Run, content: str | None) -> None:
    Path("pins.toml").unlink()
    if content is not None:
        Path("pins.toml").write_text(content, encoding="utf-8")
    done = two("rotate", "emergency", str(ACTIVE), "--stolen")
    assert (done.code, recorded()[-1], journal()[-1].host) == (1, "compromise", HOST)
    assert done.out.startswith("RECORDED: ")
    assert "the way out can't be computed" in done.err
    assert ("pins.toml:2: the line is a conflict marker of git" in done.err) == (
        content == CONFLICT
    )
    assert f"certpin rotate emergency {ACTIVE} --stolen" in done.out


def test_a_fact_is_recorded_in_an_invalid_journal(two: Run) -> None:
    with JOURNAL.open("a", encoding="utf-8") as file:
        file.write("<<<<<<< HEAD")
    done = two("rotate", "emergency", str(ACTIVE), "--stolen")
    assert (done.code, "conflict marker" in done.err) == (1, True)
    last = JOURNAL.read_text(encoding="utf-8").splitlines()[-1]
    assert '"step": "compromise"' in last


def test_a_fact_is_recorded_although_the_server_does_not_answer(two: Run) -> None:
    words = ("--connect", "127.0.0.1:9", "--timeout", "2")
    done = two("rotate", "emergency", str(ACTIVE), "--stolen", *words)
    assert (done.code, recorded()[-1]) == (0, "compromise")
    assert "It is unknown whether servers use it" in done.out


def test_a_fact_is_recorded_after_an_event_of_the_future(two: Run) -> None:
    future = Event(utc_now() + 5 * DAY, "anna", "stage", HOST, SPARE)
    with JOURNAL.open("a", encoding="utf-8") as file:
        file.write(format_journal([future]))
    done = two("rotate", "emergency", str(ACTIVE), "--stolen", "--offline")
    assert (journal()[-1].step, "later than the clock" in done.err) == ("compromise", True)


def test_if_the_journal_cannot_be_written_the_line_is_printed(run: Run) -> None:
    write(policy(ACTIVE, BACKUP))
    JOURNAL.mkdir()
    done = run("rotate", "emergency", str(ACTIVE), "--stolen", "--offline")
    assert (done.code, done.out) == (2, "")
    assert "NOT recorded" in done.err
    assert f'"pin": "{ACTIVE}"' in done.err


def test_an_unreadable_key_is_not_recorded_and_the_pins_are_listed(two: Run) -> None:
    done = two("rotate", "emergency", "gone.key", "--stolen")
    assert (done.code, "NOT recorded" in done.err, recorded()) == (2, True, ["publish"])
    assert f"{ACTIVE} (leaf)" in done.err


def test_without_a_key_the_pins_are_listed_with_their_hosts(two: Run) -> None:
    write(policy(ACTIVE, BACKUP), policy(SPARE, BACKUP, host="www.bank.example"))
    for words in ((), ("--stolen",)):
        done = two("rotate", "emergency", *words)
        assert (done.code, "NOT recorded" in done.err, recorded()) == (2, True, ["publish"])
        assert f"\n  {HOST}: {ACTIVE} (leaf)\n" in done.err
        assert f"\n  www.bank.example: {SPARE} (leaf)\n" in done.err
    Path("pins.toml").unlink()
    done = two("rotate", "emergency", "--stolen")
    assert (done.code, "name the key that was stolen or lost" in done.err) == (2, True)


def test_a_key_that_is_neither_stolen_nor_lost_is_wrong_usage(two: Run) -> None:
    done = two("rotate", "emergency", str(ACTIVE))
    assert (done.code, "--stolen or --lost" in done.err, recorded()) == (2, True, ["publish"])


def test_a_start_in_an_emergency_leads_back_to_its_path(two: Run) -> None:
    """The version with the new backup is refused while servers use the stolen key."""
    reported(two, ACTIVE, "--stolen")
    facts = two("rotate", "start", "--new", "next.key", "--json").json
    assert facts["next"] == f"certpin rotate emergency {ACTIVE} --stolen"
    done = two(*shlex.split(facts["next"])[1:], "--offline")
    assert (done.code, "certpin rotate shipped 4" in done.out) == (0, True)
    reported(two, BACKUP, "--lost")
    assert two("rotate", "shipped", "4", "--force", "--reason", "a test", "--offline").code == 0
    facts = two("rotate", "start", "--new", "another.key", "--json").json
    assert facts["next"] == "certpin rotate shipped 5"


def test_a_repetition_records_nothing_and_finds_the_path_again(two: Run) -> None:
    reported(two, ACTIVE, "--stolen", "--who", "night watch")
    done, facts = reported(two, ACTIVE, "--lost")
    assert (done.code, recorded()) == (0, ["publish", "compromise"])
    assert facts["recorded_before"]
    text = two("rotate", "emergency", str(ACTIVE), "--stolen", "--offline").out
    assert "night watch had recorded that on " in text


def test_a_lost_key_that_is_found_stolen_is_recorded_again(two: Run) -> None:
    reported(two, ACTIVE, "--lost")
    reported(two, ACTIVE, "--stolen")
    assert recorded() == ["publish", "lose", "compromise"]


def test_a_backup_that_is_not_adopted_yet_has_its_date(two: Run) -> None:
    write(policy(ACTIVE, SPARE))
    text = Path("pins.toml").read_text(encoding="utf-8").replace("version = 3", "version = 4")
    Path("pins.toml").write_text(text, encoding="utf-8")
    published(days=1)
    done, facts = reported(two, ACTIVE, "--stolen")
    switch = facts["hosts"][0]["steps"][1]
    assert (done.code, switch["act"]) == (0, "switch")
    assert switch["text"].startswith("Not before ")
    assert switch["not_before"] > utc_now().isoformat()


def test_without_a_path_the_number_of_clients_is_that_of_the_gate(two: Run) -> None:
    write(policy(ACTIVE, SPARE))
    text = Path("pins.toml").read_text(encoding="utf-8").replace("version = 3", "version = 4")
    Path("pins.toml").write_text(text, encoding="utf-8")
    published(days=60, bundled=True, clients=300)
    done, facts = reported(two, ACTIVE, "--stolen")
    host = facts["hosts"][0]
    assert (done.code, facts["safe"], host["locked_out"]) == (1, False, 1200)
    assert host["steps"][1]["forced"]
    out = two("rotate", "emergency", str(ACTIVE), "--stolen", "--offline").out
    assert "NO PATH WITHOUT A LOCK-OUT: 1200 clients would be locked out: " in out
    assert f"certpin rotate switch {SPARE} --force --reason 'the key was stolen'" in out


def test_hosts_with_the_same_path_are_one_section(run: Run) -> None:
    write(policy(ACTIVE, BACKUP), policy(ACTIVE, BACKUP, host="www.bank.example"))
    published()
    done = run("rotate", "emergency", str(ACTIVE), "--stolen", "--offline")
    assert done.out.count("certpin rotate start --new") == 1
    hosts = [event.host for event in journal() if event.step == "compromise"]
    assert hosts == [HOST, "www.bank.example"]


def test_the_leaf_of_a_pinned_authority_is_refused_from_the_next_version_on(run: Run) -> None:
    """Clients accept a stolen leaf key below a pinned authority until its pin is compromised."""
    made = kit.policy(HOST, ACTIVE, BACKUP)
    roles = [replace(each, role="intermediate") for each in made.pins]
    write(replace(made, match="ca", pins=tuple(roles)))
    published()
    done, facts = reported(run, SPARE, "--stolen")
    assert (done.code, facts["marked"]) == (0, [HOST])
    entry = PinSet.load("pins.toml").policies[0].pins[-1]
    assert (entry.pin, entry.state) == (SPARE, "compromised")


def test_the_next_finish_takes_a_lost_backup_out(three: Run) -> None:
    used = Authority("Issuer").issue(HOST)
    write(policy(used.pin, BACKUP, SPARE))
    text = Path("pins.toml").read_text(encoding="utf-8").replace("version = 3", "version = 4")
    Path("pins.toml").write_text(text, encoding="utf-8")
    published()
    Path("served.pem").write_bytes(used.chain_pem)
    reported(three, BACKUP, "--lost")
    done = three("rotate", "finish", "--offline", "--served", "served.pem")
    assert (done.code, states()) == (0, ["active", "removed", "published"]), done.err
    assert recorded()[-1] == "remove"


def named(note: str) -> None:
    """Give the backup a note, such as one that names its file."""
    file, pin = Path("pins.toml"), f'pin = "{BACKUP}"\n'
    file.write_text(file.read_text().replace(pin, f'{pin}note = "{note}"\n'))


@pytest.mark.parametrize(
    ("note", "place", "said"),
    [
        ("key file b.key", "FOLDER/b.key", "FOLDER is the folder of the file"),
        ("key file safe/my b.key", "'FOLDER/my b.key'", "FOLDER is the folder of the file"),
        ("in the safe", "KEY", "KEY is the file of the key, or its URI"),
        ("key file " + "b" * 300, "KEY", "KEY is the file of the key, or its URI"),
    ],
)
def test_the_request_is_printed_although_the_key_is_not_here(
    two: Run, note: str, place: str, said: str
) -> None:
    named(note)
    text = two("rotate", "emergency", str(ACTIVE), "--stolen", "--offline").out
    assert f"  1. Fetch the backup {BACKUP} ({note}). For it get a certificate ({said}).\n" in text
    assert f"       certpin rotate csr {place} --host {HOST} --out emergency.csr\n" in text


def test_a_key_beside_the_pin_file_is_found(two: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    named("key file b.key")
    Path("b.key").touch()
    folder = Path.cwd().name
    monkeypatch.chdir("..")
    words = ("rotate", "emergency", str(ACTIVE), "--stolen", "--offline", "--file")
    text = two(*words, f"{folder}/pins.toml").out
    assert f"  1. Get a certificate for the backup {BACKUP} (key file b.key).\n" in text
    assert f"certpin rotate csr {folder}/b.key --host {HOST} --out emergency.csr --file" in text


def test_a_key_that_no_file_and_no_server_has_is_questioned(two: Run) -> None:
    """It is recorded all the same: a server that doesn't answer can use it."""
    _, facts = reported(two, SPARE, "--stolen")
    assert (facts["recorded"], facts["known"]) == (True, False)
    assert not reported(two, SPARE, "--stolen")[1]["known"]
    text = two("rotate", "emergency", str(SPARE), "--stolen", "--offline").out
    assert "IS IT THE RIGHT KEY? " in text
    assert "record the right one, too: certpin rotate emergency KEY --stolen\n" in text
    assert reported(two, ACTIVE, "--stolen")[1]["known"]
    assert reported(two, BACKUP, "--lost")[1]["known"]


def test_a_key_that_a_server_presents_is_not_questioned(two: Run) -> None:
    root = Authority("Root")
    issuer = root.intermediate("Issuer")
    used = issuer.issue(HOST)
    Path("served.pem").write_bytes(used.chain_pem + root.pem)
    for pin in (issuer.pin, used.pin):
        words = ("rotate", "emergency", str(pin), "--stolen", "--offline", "--json")
        assert not two(*words).json["known"]
        assert two(*words, "--served", "served.pem").json["known"]


def test_no_journal_is_made_in_a_folder_without_a_pin_file(run: Run) -> None:
    done = run("rotate", "emergency", str(ACTIVE), "--stolen", "--host", HOST, "--offline")
    assert (done.code, "NOT recorded: there is no pins.toml here, and no journal" in done.err) == (
        2,
        True,
    )
    assert list(Path().iterdir()) == []


def test_the_json_has_the_steps_of_all_hosts_once_and_in_order(run: Run) -> None:
    """A script that runs the steps of each host would make a key twice."""
    other = "auth.bank.example"
    write(policy(ACTIVE, BACKUP), policy(ACTIVE, BACKUP, SPARE, host=other))
    published()
    _, facts = reported(run, ACTIVE, "--stolen")
    assert len({json.dumps(host["steps"]) for host in facts["hosts"]}) == 2
    steps = facts["steps"]
    assert [step["act"] for step in steps if step["act"] in {"publish", "revoke"}] == [
        "publish",
        "revoke",
    ]
    assert [step["hosts"] for step in steps if step["act"] == "publish"] == [[HOST, other]]
    assert [step["hosts"] for step in steps if step["act"] == "switch"] == [[HOST], [other]]
    text = run("rotate", "emergency", str(ACTIVE), "--stolen", "--offline").out
    printed = [line.strip() for line in text.splitlines() if line.startswith("       certpin")]
    assert [command for step in steps for command in step["commands"]] == printed


def test_the_hosts_without_a_path_are_named(run: Run) -> None:
    other = "auth.bank.example"
    write(policy(ACTIVE, BACKUP), policy(ACTIVE, SPARE, host=other))
    published()
    reported(run, SPARE, "--lost")
    text = run("rotate", "emergency", str(ACTIVE), "--stolen", "--offline").out
    assert f"NO PATH WITHOUT A LOCK-OUT AT {other}: " in text


@pytest.mark.parametrize(
    ("secret", "problem"), [(None, "it has no passphrase"), ("wrong", "its passphrase is wrong")]
)
def test_the_passphrase_of_an_encrypted_key_is_asked_for(
    two: Run, secret: str | None, problem: str
) -> None:
    pem, key = new_private_key("p256", b"right")
    Path("b.key").write_bytes(pem)
    env = {} if secret is None else {"CERTPIN_PASSPHRASE": secret}
    for words in (("emergency", "b.key", "--stolen"), ("switch", "b.key")):
        done = two("rotate", *words, "--offline", **env)
        assert done.code == 2
        assert f"b.key is encrypted, and {problem}" in done.err
        assert "CERTPIN_PASSPHRASE or on a terminal; or give the pin of the key" in done.err
    assert recorded() == ["publish"]
    right = {"CERTPIN_PASSPHRASE": "right"}
    done = two("rotate", "emergency", "b.key", "--stolen", "--offline", "--json", **right)
    assert done.json["pin"] == str(Pin.of_key(key.spki_sha256))


def test_an_encrypted_key_beside_an_unsupported_block_has_no_wrong_passphrase(two: Run) -> None:
    pem = new_private_key("p256", b"right")[0]
    other = b"-----BEGIN DH PARAMETERS-----\nMAYCAQUCAQI=\n-----END DH PARAMETERS-----\n"
    for data in (pem + other, other + pem):
        Path("b.key").write_bytes(data)
        done = two("rotate", "switch", "b.key", "--offline", CERTPIN_PASSPHRASE="right")
        problem = "b.key names no key: a PEM block 'DH PARAMETERS' is not supported"
        assert (done.code, "is encrypted" in done.err, problem in done.err) == (2, False, True)


@pytest.mark.medium
def test_the_question_for_a_passphrase_names_the_file(two: Run) -> None:
    Path("b.key").write_bytes(new_private_key("p256", b"right")[0])
    typing = [("Passphrase of b.key: ", "right")]
    code, _ = on_terminal("rotate", "emergency", "b.key", "--lost", "--offline", typing=typing)
    assert code in {0, 1}
    assert recorded() == ["publish", "lose"]


def test_every_printed_command_can_be_pasted(two: Run) -> None:
    Path("b.key").touch()
    named("key file b.key")
    for pin, word in ((ACTIVE, "--stolen"), (BACKUP, "--lost")):
        _, facts = reported(two, pin, word)
        commands = [each for step in facts["hosts"][0]["steps"] for each in step["commands"]]
        assert commands
        for command in commands:
            program, group, name, *rest = shlex.split(command)
            assert (program, group, name in COMMANDS) == ("certpin", "rotate", True), command
            assert two(group, name, *rest, "--help").code == 0
            assert not any(word.isupper() or "<" in word for word in rest), command


@pytest.mark.medium
def test_on_a_terminal_each_line_has_its_place(two: Run) -> None:
    code, out = on_terminal("rotate", "emergency", str(ACTIVE), "--stolen", "--offline", columns=80)
    text = [line for line in click.unstyle(out).splitlines() if "certpin rotate" not in line]
    assert code == 0
    assert [line for line in text if len(line) > 80] == []
    assert f"       certpin rotate switch {BACKUP}" in out


@pytest.mark.parametrize("by", ["certificate", "trust"])
def test_a_stolen_authority_is_marked_as_one(run: Run, by: str) -> None:
    """Clients refuse it above every certificate; a backup is the key of a leaf otherwise."""
    authority = Authority("Backup")
    Path("trust.pem").write_bytes((authority if by == "trust" else Authority("Other")).pem)
    write(policy(ACTIVE, authority.pin, SPARE), trust=Path("trust.pem"))
    published()
    named: str | Path = str(authority.pin)
    if by == "certificate":
        named = Path("authority.pem")
        named.write_bytes(authority.pem)
    run("rotate", "emergency", named, "--stolen", "--offline")
    [entry] = [each for each in PinSet.load("pins.toml").policies[0].pins if not each.live]
    assert (entry.pin, entry.role) == (authority.pin, "intermediate")
