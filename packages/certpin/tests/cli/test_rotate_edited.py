"""Rotations of a pin file that was edited by hand or merged: the next action, and signing."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from certpin.lab import Authority
from certpin.pinfile import PinSet
from certpin.pinfile.editor import PinFileEditor
from certpin.pins import HostPattern, HostPin
from tests.cli._pinfiles import write
from tests.cli._rotating import (
    JOURNAL,
    SERVED,
    Bank,
    all_files,
    days_pass,
    journal,
    next_number,
    states,
)
from tests.cli._signed_sets import SIGN, sign_long_ago
from tests.cli.conftest import HOST

if TYPE_CHECKING:
    from tests.cli.conftest import Run

FILES = (Path("pins.toml"), JOURNAL, Path("publish"))


@pytest.fixture
def signed(run: Run) -> Run:
    """Call ``sign_long_ago``, and return the function that runs commands."""
    sign_long_ago(run)
    return run


def edit(old: str, new: str) -> None:
    """Replace a text of the pin file."""
    text = Path("pins.toml").read_text(encoding="utf-8")
    assert old in text
    Path("pins.toml").write_text(text.replace(old, new), encoding="utf-8")


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
    before = all_files(*FILES)
    release = ("--app", "bank", "--release", "2")  # of the version that is recorded already
    for words in (
        SIGN,
        ("rotate", "shipped", "6", *SERVED, "--force", "--reason", "tested"),
        ("rotate", "shipped", "5", *SERVED, *release),
    ):
        refused = signed(*words)
        said = " ".join(refused.err.split())
        assert refused.code == 2
        assert f"pins.journal.jsonl records {pin} as {state.upper()}" in said
        assert f"fix: let certpin restore its state: certpin rotate emergency {pin} --" in said
        assert all_files(*FILES) == before
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


def refused_without_mark(run: Run, number: int, pin: str) -> None:
    """Require that the file can't go out, and that the command of status marks the key again.

    Args:
        run: runs commands.
        number: the version number of the pin file without the mark.
        pin: the pin of the stolen key.
    """
    before = all_files(*FILES)
    for words in (SIGN, ("rotate", "shipped", f"{number}", *SERVED, "--force", "--reason", "x")):
        refused = run(*words)
        said = " ".join(refused.err.split())
        assert (refused.code, f"pins.journal.jsonl records {pin} as COMPROMISED" in said) == (
            2,
            True,
        )
        assert all_files(*FILES) == before
    (host,) = run("rotate", "status", *SERVED, "--json").json["hosts"]
    assert host["next"]["commands"] == [f"certpin rotate emergency {pin} --stolen"]
    assert run("rotate", "emergency", pin, "--stolen", *SERVED).code == 0
    (entry,) = [each for each in PinSet.load("pins.toml").policies[0].pins if str(each.pin) == pin]
    assert entry.state == "compromised"
    (host,) = run("rotate", "status", *SERVED, "--json").json["hosts"]
    assert host["next"]["act"] in {"publish", "none"}


@pytest.mark.medium
@pytest.mark.parametrize("is_out", [True, False])
def test_a_stolen_key_whose_entry_was_deleted_gets_it_back(signed: Run, is_out: bool) -> None:
    """Also if no version with the mark went out, because the file of an older commit is back."""
    pin = PinSet.load("pins.toml").policies[0].pins[-1].pin
    assert signed("rotate", "emergency", "c.key", "--stolen", *SERVED).code == 0
    if is_out:
        assert signed(*SIGN).code == signed("publish", "push").code == 0
    editor = PinFileEditor.open(Path("pins.toml"))
    editor.remove_pin(HOST, pin)
    editor.set_version(6)
    editor.save()
    refused_without_mark(signed, 6, str(pin))
    assert PinSet.load("pins.toml").policies[0].pins[-1].role == "leaf"  # it signs no certificate
    assert signed(*SIGN).code == signed("publish", "push").code == 0


def test_a_file_that_certpin_cannot_edit_does_not_go_out_without_the_mark(signed: Run) -> None:
    assert signed("rotate", "emergency", "c.key", "--stolen", *SERVED).code == 0
    policy = PinSet.load("pins.toml").policies[0]
    a, b, c = policy.pins
    listed = ", ".join(f'{{pin = "{each.pin}", role = "{each.role}"}}' for each in (a, b))
    Path("pins.toml").write_text(
        'schema = 1\nname = "bank"\nversion = 5\n'
        f'[[host]]\nname = "{HOST}"\ntrust = "root.pem"\npin = [{listed}]\n',
        encoding="utf-8",
    )
    done = signed(*SIGN)
    assert (done.code, f"records {c.pin} as COMPROMISED" in " ".join(done.err.split())) == (2, True)
    assert "the states in pins.toml can't be set" in " ".join(done.err.split())


@pytest.mark.medium
def test_no_host_is_to_publish_a_file_that_lost_a_mark_at_another(run: Run) -> None:
    bank = Bank(run)
    (policy,) = PinSet.load("pins.toml").policies
    write(policy, replace(policy, pattern=HostPattern.parse("other.example")))
    forced = ("--force", "--reason", "x")
    bank("shipped", next_number(), *forced)
    assert bank("start", "--new", "c.key", "--host", HOST).code == 0
    bank.emergency("c.key", "--stolen")
    bank("shipped", next_number(), *forced)
    number = PinSet.load("pins.toml").version
    edit('"compromised"', '"published"')
    edit(f"version = {number}", f"version = {number + 1}")
    Path("pins.toml").write_text(
        Path("pins.toml")
        .read_text(encoding="utf-8")
        .replace('name = "other.example"', 'name = "other.example"\nexpires = 2040-01-01'),
        encoding="utf-8",
    )
    here, there = bank("status", "--json").json["hosts"]
    assert here["next"]["act"] == "emergency"
    assert there["next"]["act"] == "publish"
    problems = [each["problem"] for each in there["next"]["breaches"]]
    assert [each for each in problems if each.startswith(f"{HOST}: pins.journal.jsonl records ")]


@pytest.mark.medium
@pytest.mark.parametrize("change", ["edit", "older", "trust"])
def test_status_leads_to_the_number_without_which_an_edit_is_not_signed(
    signed: Run, change: str
) -> None:
    if change == "trust":
        with Path("root.pem").open("ab") as file:
            file.write(Authority("Next root").pem)
    else:
        edit('match = "any"', 'match = "any"\nexpires = 2099-01-01')
    number = 3 if change == "older" else 4
    edit("version = 4", f"version = {number}")
    assert signed(*SIGN).code == 1
    (host,) = signed("rotate", "status", *SERVED, "--json").json["hosts"]
    assert host["next"]["text"] == "write version = 5 into the pin file, and give it to the clients"
    edit(f"version = {number}", "version = 5")
    (host,) = signed("rotate", "status", *SERVED, "--json").json["hosts"]
    assert host["next"]["text"] == "give version 5 to the clients"
    assert host["next"]["commands"] == ["certpin publish sign KEY…", "certpin publish push"]
    assert signed(*SIGN).code == signed("publish", "push").code == 0
    (host,) = signed("rotate", "status", *SERVED, "--json").json["hosts"]
    assert host["next"]["act"] != "publish"


def test_a_version_that_is_not_signed_gets_its_number_from_shipped(run: Run) -> None:
    """Unless the file is older than the latest version, such as after a git merge."""
    Bank(run)
    edit('match = "any"', 'match = "any"\nexpires = 2099-01-01')
    (host,) = run("rotate", "status", *SERVED, "--json").json["hosts"]
    assert host["next"]["text"] == "give version 4 to the clients"
    (command,) = host["next"]["commands"]
    edit("version = 3", "version = 2")
    (host,) = run("rotate", "status", *SERVED, "--json").json["hosts"]
    assert host["next"]["text"] == "write version = 4 into the pin file, and give it to the clients"
    assert run(*shlex.split(command)[1:], *SERVED).code == 2
    edit("version = 2", "version = 4")
    assert host["next"]["commands"] == [command]
    assert run(*shlex.split(command)[1:], *SERVED).code == 0


def test_a_removed_key_is_refused_whatever_the_edited_file_says(run: Run) -> None:
    """The dead entry was deleted, or a merge brought back its earlier state."""
    bank = Bank(run)
    assert bank("start", "n.key").code == 0
    assert bank("shipped", next_number()).code == 0
    days_pass(100)
    assert bank("switch", "b.pem").code == 0
    bank.install(bank.b)
    assert bank("finish").code == 0
    assert bank("shipped", next_number()).code == 0
    removed = PinFileEditor.open(Path("pins.toml"))
    removed.remove_pin(HOST, bank.a.pin)
    removed.save()
    refused = bank("switch", "a.pem")
    assert (refused.code, "was removed" in refused.err) == (1, True)
    back = PinFileEditor.open(Path("pins.toml"))
    back.add_pin(HOST, HostPin(bank.a.pin, "leaf", "active"))
    back.set_version(int(next_number()) + 1)
    back.save()
    refused = bank("shipped", next_number())
    assert (refused.code, 'give it state = "removed"' in refused.err) == (1, True)
    forced = bank("switch", "a.pem", "--force", "--reason", "x")
    assert (forced.code, "REMOVED: no server may use it, also not" in forced.err) == (2, True)


def test_a_pinned_authority_in_the_served_path_is_finished_and_not_deleted(run: Run) -> None:
    """Clients accept the server by the pin of its own key."""
    bank = Bank(run)
    Path("issuer.pem").write_bytes(bank.issuer.pem)
    added = PinFileEditor.open(Path("pins.toml"))
    added.add_pin(HOST, HostPin(bank.issuer.pin, "intermediate", "active"))
    added.set_version(int(next_number()) + 1)
    added.save()
    assert bank("shipped", next_number()).code == 0
    before = Path("pins.toml").read_bytes()
    deleted = PinFileEditor.open(Path("pins.toml"))
    deleted.remove_pin(HOST, bank.issuer.pin)
    deleted.raise_version()
    deleted.save()
    refused = bank("finish", "issuer.pem")
    assert (refused.code, "put its entry back (git checkout)" in refused.err) == (2, True)
    Path("pins.toml").write_bytes(before)
    done = bank("finish", "issuer.pem")
    assert (done.code, "is RETIRING: no server needs it" in done.out) == (0, True)
    assert states()[-1] == "removed"
    assert bank("shipped", next_number()).code == 0
    assert bank("switch", "a.pem").code == 0  # the renewal below the authority goes on
