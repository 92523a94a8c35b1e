"""The commands that ``certpin rotate emergency`` prints: each is accepted, in its order.

The served chains come from files, so that no server runs.
"""

from __future__ import annotations

import shlex
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from certpin.cli.rotate.files import append_lines
from certpin.lab import Authority
from certpin.pinfile import PinSet
from certpin.pins import HostPattern, utc_now
from certpin.rotation import AdoptionDelays, Event, format_journal
from certpin.tls import PinnedSSLContext
from tests import kit
from tests.cli._pinfiles import write
from tests.cli._rotating import (
    JOURNAL,
    Bank,
    days_pass,
    history,
    invariants,
    journal,
    next_number,
    states,
    stepped,
)
from tests.cli.conftest import HOST, Run
from tests.tls._handshakes import verdict_of
from tests.x509._authorities import valid

DAY = timedelta(days=1)


@pytest.fixture
def bank(run: Run) -> Bank:
    return Bank(run)


def acts(path: dict[str, Any]) -> list[str]:
    return [step["act"] for step in path["steps"]]


def test_the_lock_out_of_a_switch_at_once_is_printed_for_each_key(bank: Bank) -> None:
    """B was the only backup that every client had. Key A, which B replaced, locks no client out."""
    bank("start", "n.key")
    assert bank("switch", "b.pem").code == 0
    bank.install(bank.b)
    assert bank("shipped", next_number(), "--clients", "900").code == 0
    days_pass(1)
    done = bank("emergency", "b.key", "--stolen")
    assert done.code == 0
    assert f"A switch at once to the replaced key {bank.a.pin} locks no client out.\n" in done.out
    to_new = f"A switch at once to the backup {bank.n.pin} (key file n.key) locks out "
    [line] = [each for each in done.out.splitlines() if each.startswith(to_new)]
    assert line.endswith(" clients: it is not adopted: version 3 does not accept it.")
    assert f"  2. Let servers use the replaced key {bank.a.pin}.\n" in done.out
    refused = bank("switch", "n.key", "--json").json["breaches"][0]
    assert f"locks out {refused['clients']} clients" in line


def test_the_lock_out_of_a_switch_before_its_date_is_printed(bank: Bank) -> None:
    """The user decides if an attacker does more harm than the lock-out."""
    bank("emergency", "b.key", "--lost")
    bank("start", "n.key")
    assert bank("shipped", next_number(), "--clients", "900").code == 0
    days_pass(1)
    assert "A switch at once" not in bank("emergency", "a.key", "--lost").out
    done = bank("emergency", "a.key", "--stolen")
    assert "Not before " in done.out
    assert f"A switch at once to the backup {bank.n.pin} (key file n.key) locks out " in done.out


def test_a_backup_that_every_client_accepts_needs_no_comparison(bank: Bank) -> None:
    assert "A switch at once" not in bank("emergency", "a.key", "--stolen").out


def test_a_server_with_an_unpinned_key_is_led_back_to_the_backup(bank: Bank) -> None:
    bank.install(bank.n)
    done, path = bank.emergency("a.key", "--stolen")
    assert (done.code, path["locked_out_now"]) == (0, 1200)
    assert acts(path) == ["request", "switch", "install", "start", "publish", "revoke"]
    text = bank("emergency", "a.key", "--stolen").out
    assert "LOCKED OUT NOW: 1200 clients: " in text
    bank.follow(path)
    done, path = bank.emergency("a.key", "--stolen")
    assert (done.code, path["steps"], path["locked_out_now"]) == (0, [], 0)
    text = bank("emergency", "a.key", "--stolen").out
    assert "Nothing is left to do, because version 4 is out" in text
    assert "goes out at once" not in text


@pytest.mark.medium
def test_without_a_backup_both_orders_are_named_and_the_lock_out_is_not_forgotten(
    bank: Bank,
) -> None:
    bank.emergency("b.key", "--lost")
    done = bank("emergency", "a.key", "--stolen")
    assert done.code == 1
    assert "Switch first, as below: these clients are locked out until they have version 4" in (
        done.out
    )
    assert "Version 4 first (with --force), and the switch later: until the switch" in done.out
    for step in bank.emergency("a.key", "--stolen")[1]["steps"]:
        if step["act"] == "install":
            key = load_pem_private_key(Path("next.key").read_bytes(), None)
            bank.install(bank.issuer.issue(HOST, key=key))  # type: ignore[arg-type]
        if step["act"] == "publish":
            done = bank("emergency", "a.key", "--stolen")
            assert (done.code, "have version 4." in done.out) == (1, True)
            assert "Do now, in this order:" in done.out
        for command in step["commands"]:
            _, _, name, *words = shlex.split(command)
            assert bank(name, *words).code == 0, command
    done, path = bank.emergency("a.key", "--stolen")
    assert (done.code, path["safe"], path["steps"]) == (1, False, [])
    assert path["locked_out"] == path["locked_out_now"] == 1200
    done = bank("emergency", "a.key", "--stolen")
    assert "Nothing is left to do" not in done.out
    assert "accept the servers when they have version 4, at the latest on" in done.out
    days_pass(40)
    done, path = bank.emergency("a.key", "--stolen")
    assert (done.code, path["safe"], path["steps"]) == (0, True, [])


def test_before_the_record_a_new_key_can_be_given_to_the_clients_first(bank: Bank) -> None:
    """The third order of the guide: it locks no client out, and the stolen key stays accepted."""
    bank.emergency("b.key", "--lost")
    for key in ("next.key", "next-backup.key"):
        assert bank("start", "--new", key).code == 0
    assert bank("shipped", "4").code == 0
    days_pass(40)
    assert bank("switch", "next.key").code == 0


def test_the_second_of_two_stolen_keys_gets_the_analysis_of_the_first(bank: Bank) -> None:
    bank.emergency("a.key", "--stolen")
    for key in ("b.key", "a.key"):
        done, path = bank.emergency(key, "--stolen")
        assert (done.code, path["safe"], path["locked_out"]) == (1, False, 1200)
        assert acts(path)[:4] == ["start", "request", "switch", "install"]


@pytest.mark.medium
def test_two_lost_keys_are_replaced_by_the_printed_commands(bank: Bank) -> None:
    bank.emergency("a.key", "--lost")
    done, path = bank.emergency("b.key", "--lost")
    assert done.code == 0
    published = [step["commands"] for step in path["steps"] if step["act"] == "publish"]
    assert published == [["certpin rotate shipped 4"], ["certpin rotate shipped 5"]]
    assert bank("start", "--new", "next.key").code == 0
    _, again = bank.emergency("b.key", "--lost")
    assert acts(again)[:3] == ["start", "publish", "request"]
    bank.follow(again)
    assert bank.emergency("b.key", "--lost")[1]["steps"] == []
    assert states()[:2] == ["removed", "removed"]


def test_the_key_of_an_authority_is_replaced_under_another_one(bank: Bank) -> None:
    done, path = bank.emergency("issuer.key", "--stolen")
    assert (done.code, path["authority"], path["safe"]) == (0, True, True)
    request, switch, *_ = path["steps"]
    assert "from another authority" in request["text"]
    assert switch["commands"] == ["certpin rotate switch fullchain.pem"]
    refused, facts = stepped(bank.run, "switch", "b.pem", "--offline")
    assert (refused.code, invariants(facts)) == (1, ["compromised"])
    assert "another authority" in facts["breaches"][0]["fix"]
    entry = PinSet.load("pins.toml").policies[0].pins[-1]
    assert (entry.role, entry.state) == ("intermediate", "compromised")
    other = bank.root.intermediate("Another issuer").issue(HOST, key=bank.a.key)
    Path("fullchain.pem").write_bytes(other.chain_pem)
    assert bank("switch", "fullchain.pem").code == 0
    bank.install(other)
    assert bank("shipped", "4").code == 0
    assert bank.emergency("issuer.key", "--stolen")[1]["steps"] == []


def test_without_servers_a_key_that_is_not_pinned_may_be_an_authoritys(bank: Bank) -> None:
    for key, words in (("issuer.key", True), ("a.key", False)):
        done = bank.run("rotate", "emergency", key, "--stolen", "--offline")
        assert ("has to be of another one" in done.out) == words


def test_a_stolen_root_that_clients_only_trust_leaves_no_safe_path(bank: Bank) -> None:
    """Clients may accept an attacker: the pins of an authority don't show which root is above."""
    text = Path("pins.toml").read_text(encoding="utf-8")
    text = text.replace('match = "any"', 'match = "ca"')
    Path("pins.toml").write_text(text, encoding="utf-8")
    assert bank("shipped", "4", "--force", "--reason", "a test").code == 0
    days_pass(40)
    done, path = bank.emergency("root.key", "--stolen")
    assert (done.code, path["locked_out"]) == (1, 1200)
    assert states()[-1] == "compromised"


@pytest.mark.parametrize(("match", "keeps"), [("any", False), ("leaf", True)])
def test_a_stolen_root_is_replaced_without_a_lock_out_if_server_keys_are_pinned(
    bank: Bank, match: str, keeps: bool
) -> None:
    """Each printed command is accepted, and real clients accept the server all the time.

    If the root stays in the file of trust, clients that compare only leaves need the mark, too:
    they trust the root when they compare no pins, such as after an expiry.
    """
    other = Authority("Other root")
    text = Path("pins.toml").read_text(encoding="utf-8").replace("version = 3", "version = 4")
    text = text.replace('match = "any"', f'match = "{match}"')
    Path("pins.toml").write_text(text, encoding="utf-8")
    assert bank("shipped", "4", "--clients", "1200").code == 0
    days_pass(100)
    done, path = bank.emergency("root.key", "--stolen")
    assert (done.code, path["safe"], path["exposure"]["clients"]) == (0, True, 0)
    expected = ["trust", "publish", "request", "switch", "install", "mark", "publish", "revoke"]
    assert acts(path) == expected
    assert states() == ["active", "published"]
    done = bank("emergency", "root.key", "--stolen")
    assert "does not refuse it yet" in done.out
    Path("root.pem").write_bytes(bank.root.pem + other.pem)
    Path("pins.toml").write_text(text.replace("version = 4", "version = 5"), encoding="utf-8")
    new = other.issue(HOST, key=bank.a.key)
    Path("fullchain.pem").write_bytes(new.chain_pem)
    served = bank.a
    for step in path["steps"]:
        if step["act"] == "switch":
            early = bank("switch", "fullchain.pem", "--json")
            assert (early.code, invariants(early.json)) == (1, ["adopted"])
            days_pass(33)
        if step["act"] == "install":
            served = new
            Path("served.pem").write_bytes(new.chain_pem + other.pem)
        if step["act"] == "mark":
            Path("root.pem").write_bytes(other.pem + (bank.root.pem if keeps else b""))
        for command in step["commands"]:
            _, _, name, *words = shlex.split(command)
            done = bank(name, *("a.key" if word == "KEY" else word for word in words))
            assert done.code == 0, f"{command}: {done.out}{done.err}"
        for version in history().deployed.alive(utc_now(), history().timing or AdoptionDelays()):
            context = PinnedSSLContext(PinSet("bank", version.number, version.pins.policies))
            assert verdict_of(context, served, HOST).decision == "accept"
    assert states() == ["active", "published", "compromised"]
    done, path = bank.emergency("root.key", "--stolen")
    assert (done.code, path["steps"]) == (0, [])


def test_a_draft_that_refuses_no_attacker_does_not_go_out_beside_a_stolen_root(bank: Bank) -> None:
    """Its mark has to wait, so that only pins refuse an attacker with the root."""
    bank.emergency("root.key", "--stolen")
    Path("root.pem").write_bytes(bank.root.pem + Authority("Other root").pem)
    text = Path("pins.toml").read_text(encoding="utf-8")
    Path("pins.toml").write_text(text.replace('"enforce"', '"report"'), encoding="utf-8")
    refused = bank("shipped", "4")
    problem = "would let an attacker with the stolen root in"
    assert (refused.code, problem in " ".join(refused.err.split())) == (2, True)
    done = bank("emergency", "root.key", "--stolen", "--json")
    assert (done.code, problem in done.json["problem"]) == (1, True)
    assert bank("status", "--json").json["hosts"][0]["next"]["act"] == "emergency"
    Path("pins.toml").write_text(text, encoding="utf-8")
    assert bank("shipped", "4").code == 0
    done, path = bank.emergency("root.key", "--stolen")
    assert (done.code, path["safe"]) == (0, True)


def test_a_stolen_root_is_not_marked_too_early_because_a_clock_was_ahead(bank: Bank) -> None:
    """At the time of that entry, the clients without the other root would have ended."""
    bank.emergency("root.key", "--stolen")
    Path("root.pem").write_bytes(bank.root.pem + Authority("Other root").pem)
    assert bank("shipped", "4").code == 0
    ahead = Event(utc_now() + 400 * DAY, "ben", "gone", host=HOST, server="192.0.2.1:443")
    append_lines(JOURNAL, format_journal([ahead]))
    bank.emergency("root.key", "--stolen")
    assert states() == ["active", "published"]


def _ship_version_4(bank: Bank, trust: bytes = b"", pins: str = "") -> None:
    """Give version 4, with more anchors and pins, to the clients long ago.

    Args:
        bank: the bank.
        trust: the anchors in the file of ``trust``, beside the bank's root, as PEM.
        pins: tables of pins (TOML) that the pin file gets.
    """
    Path("root.pem").write_bytes(bank.root.pem + trust)
    text = Path("pins.toml").read_text(encoding="utf-8").replace("version = 3", "version = 4")
    Path("pins.toml").write_text(f"{text}\n{pins}", encoding="utf-8")
    assert bank("shipped", "4", "--clients", "1200").code == 0
    days_pass(100)


def test_an_expired_root_beside_a_stolen_one_hides_no_lock_out(bank: Bank) -> None:
    expired = Authority("Expired", change=valid(-99, -1))
    _ship_version_4(bank, trust=expired.pem)
    done, path = bank.emergency("root.pem", "--stolen")
    assert (done.code, path["safe"], acts(path)[:2]) == (0, True, ["trust", "publish"])
    assert states() == ["active", "published"]
    Path("root.pem").write_bytes(bank.root.pem + Authority("Other root").pem)
    assert bank("shipped", "5").code == 0


def test_the_output_does_not_ask_to_keep_only_an_expired_root(bank: Bank) -> None:
    text = Path("pins.toml").read_text(encoding="utf-8")
    text = text.replace('match = "any"', 'match = "ca"')
    Path("pins.toml").write_text(text, encoding="utf-8")
    Path("root.pem").write_bytes(bank.root.pem + Authority("X", change=valid(-99, -1)).pem)
    done = bank("emergency", "root.pem", "--stolen")
    assert "give the pin file to the clients" in done.out
    assert "take the stolen root out of the file of `trust`" not in done.out


@pytest.mark.parametrize(
    ("state", "marked"), [("removed", False), ("lost", True), ("published", True)]
)
def test_a_removed_pin_of_a_stolen_root_forces_no_lock_out(
    bank: Bank, state: str, marked: bool
) -> None:
    """The root is marked at once only if clients accept its pin."""
    pin = f'[[host.pin]]\npin = "{bank.root.pin}"\nrole = "root"\nstate = "{state}"\n'
    _ship_version_4(bank, pins=pin)
    Path("root.pem").write_bytes(bank.root.pem + Authority("Other root").pem)
    done = bank("emergency", "root.pem", "--stolen", "--json")
    facts = done.json
    assert (done.code, facts["safe"], facts["unmarked"]) == (int(marked), not marked, [])
    assert (states()[-1], bool(facts["marked"])) == ("compromised" if marked else state, marked)
    if not marked:
        assert "does not refuse it yet" in bank("emergency", "root.pem", "--stolen").out


@pytest.mark.parametrize("old", [False, True])
def test_the_printed_mark_of_a_stolen_root_says_that_it_is_a_root(bank: Bank, old: bool) -> None:
    """The pin file trusts it no more then, and an older journal has the note of a server's key."""
    bank.emergency("root.key", "--stolen")
    assert journal()[-1].note == ""
    if old:
        note = "key file root.key"
        events = [
            replace(each, note=note) if each.step == "compromise" else each for each in journal()
        ]
        JOURNAL.write_text(format_journal(events), encoding="utf-8")
    other = Authority("Other root")
    Path("root.pem").write_bytes(bank.root.pem + other.pem)
    assert bank("shipped", "4").code == 0
    days_pass(40)
    new = other.issue(HOST, key=bank.a.key)
    Path("fullchain.pem").write_bytes(new.chain_pem)
    assert bank("switch", "fullchain.pem").code == 0
    Path("served.pem").write_bytes(new.chain_pem + other.pem)
    Path("root.pem").write_bytes(other.pem)
    entries = []
    for _ in range(2):
        done = bank("emergency", str(bank.root.pin), "--stolen")
        entries.append(PinSet.load("pins.toml").policies[0].pins[-1])
        assert done.code == 0
        assert "IS IT THE RIGHT KEY?" not in done.out
        assert "If it is the key of an authority" not in done.out
        assert "revoke" not in done.out
        assert "out of each trust store that has it" in done.out
    assert {(each.pin, each.role, each.state) for each in entries} == {
        (bank.root.pin, "intermediate", "compromised")
    }
    assert bank("shipped", "5").code == 0
    done = bank("emergency", str(bank.root.pin), "--stolen")
    assert "Take the root out of each trust store that still has it." in done.out


@pytest.mark.parametrize("key", ["a.key", "b.key"])
@pytest.mark.parametrize(
    ("edit", "invariant", "fix"),
    [
        ("expires", "expiry", "with an `expires` further away than T_adopt (32d2h)"),
        ("trust", "served-chain", "keep CN=Root in the file of `trust`"),
    ],
)
def test_an_edit_that_the_gate_will_refuse_is_named_before_the_steps(
    bank: Bank, key: str, edit: str, invariant: str, fix: str
) -> None:
    path, text = Path("pins.toml"), Path("pins.toml").read_text(encoding="utf-8")
    soon = utc_now() + timedelta(days=3)
    edited = text.replace("[[host]]", f"[[host]]\nexpires = {soon:%Y-%m-%d}", 1)
    path.write_text(edited if edit == "expires" else text, encoding="utf-8")
    if edit == "trust":
        Path("root.pem").write_bytes(Authority("Another root").pem)
    done = bank("emergency", key, "--stolen")
    assert done.code == 1
    assert "pins.toml CANNOT GO OUT AS IT IS: the pin" in done.out
    assert f"{fix}.\n" in done.out
    _, found = bank.emergency(key, "--stolen")
    assert bank("start", "--new", "other.key").code == 0
    refused = bank("shipped", "4", "--json")
    (breach,) = (each for each in refused.json["breaches"] if each["problem"] == found["refused"])
    assert (refused.code, breach["invariant"]) == (1, invariant)


def test_a_dropped_active_pin_is_named_before_the_steps_of_another_key(bank: Bank) -> None:
    path, pins = Path("pins.toml"), Path("pins.toml").read_text(encoding="utf-8")
    path.write_text(pins.replace(str(bank.a.pin), str(bank.n.pin)), encoding="utf-8")
    done, found = bank.emergency("b.key", "--stolen")
    assert (done.code, found["refused"]) == (
        1,
        f"{bank.a.pin} is ACTIVE: servers may use its key",
    )
    path.write_text(pins, encoding="utf-8")
    done, found = bank.emergency("b.key", "--stolen")
    assert (done.code, found["refused"]) == (0, None)
    path.write_text(pins.replace(str(bank.a.pin), str(bank.n.pin)), encoding="utf-8")
    assert bank.emergency("a.key", "--stolen")[1]["refused"] is None  # it has to go


def test_a_version_after_the_switch_drops_the_stolen_root(bank: Bank) -> None:
    """The path is computed again when all clients have the other root."""
    bank.emergency("root.key", "--stolen")
    Path("root.pem").write_bytes(bank.root.pem + Authority("Other root").pem)
    assert bank("shipped", "4").code == 0
    days_pass(33)
    done = bank("emergency", "root.key", "--stolen")
    assert "take the stolen root out of the file of `trust`, and give the pin file" in done.out
    assert states()[-1] == "compromised"
    assert "Until servers leave the stolen root" not in done.out


def test_a_lost_authority_is_replaced_before_the_chain_ends(bank: Bank) -> None:
    """The CA ends. The output does not say that no server uses it, beside those that do."""
    done = bank("emergency", "issuer.key", "--lost")
    assert done.code == 0
    assert "which can issue no more certificates" in done.out
    assert "Servers can keep their chain until" in done.out
    assert "get a certificate from another authority (" in done.out
    assert "Nothing is left to do" not in done.out
    other = bank.root.intermediate("Another issuer").issue(HOST, key=bank.a.key)
    Path("fullchain.pem").write_bytes(other.chain_pem)
    assert bank("switch", "fullchain.pem").code == 0
    bank.install(other)
    done, path = bank.emergency("issuer.key", "--lost")
    assert (done.code, path["steps"], path["chain_end"]) == (0, [], None)
    done = bank("emergency", "root.key", "--lost")
    assert "Clients trust no other root: the path gives them one first." in done.out
    assert "get a certificate below the other root (" in done.out


@pytest.mark.usefixtures("unconfirmed_clock")
def test_a_switch_that_only_this_machines_clock_allows_is_printed_with_its_needs(
    bank: Bank,
) -> None:
    bank.emergency("b.key", "--lost")
    assert bank("start", "--new", "c.key").code == 0
    assert bank("finish", "b.key").code == 0
    assert bank("shipped", "4").code == 0
    days_pass(100)
    done, path = bank.emergency("a.key", "--stolen")
    [switch] = [step for step in path["steps"] if step["act"] == "switch"]
    assert (done.code, switch["unconfirmed"].startswith("only the clock of this machine")) == (
        0,
        True,
    )
    assert "It will be refused: only the clock of this machine says" in switch["text"]
    assert "repeat it with --force --reason TEXT" in switch["text"]
    _, _, name, *words = shlex.split(switch["commands"][0])
    refused = bank(name, *words, "--json")
    assert (refused.code, invariants(refused.json)) == (1, ["clock"])
    assert bank(name, *words, "--force", "--reason", "no server has a Date").code == 0


def test_after_the_switch_of_an_emergency_each_command_names_the_next_one(bank: Bank) -> None:
    bank.emergency("a.key", "--stolen")
    done, facts = stepped(bank.run, "switch", "b.key", "--offline")
    assert (done.code, facts["next"]) == (0, f"certpin rotate emergency {bank.a.pin} --stolen")
    early = bank("finish", "--json")
    assert (early.code, invariants(early.json)) == (1, ["still-served", "last-backup"])
    bank.install(bank.b)
    lonely = bank("finish", "--json")
    assert (lonely.code, invariants(lonely.json)) == (1, ["last-backup"])
    assert "certpin rotate start --new" in lonely.json["breaches"][0]["fix"]
    assert bank("start", "--new", "next-backup.key").code == 0
    assert "refuses it already" in bank("finish", "a.key").out


@pytest.mark.parametrize("fact", ["--stolen", "--lost"])
def test_a_dead_key_is_refused_and_a_new_one_is_the_fix(bank: Bank, fact: str) -> None:
    bank.emergency("b.key", fact)
    done, facts = stepped(bank.run, "switch", "b.key", "--offline")
    assert done.code == 1
    assert "certpin rotate start --new" in facts["breaches"][0]["fix"]
    forced = bank("switch", "b.key", "--force", "--reason", "we need it")
    assert (forced.code, "certpin rotate start --new" in forced.err) == (2, True)


def test_a_removed_key_is_refused_and_a_new_one_is_the_fix(bank: Bank) -> None:
    bank("start", "--new", "other.key")
    assert bank("shipped", "4").code == 0
    early, facts = stepped(bank.run, "finish", "b.key", "--offline", "--served", "served.pem")
    assert (early.code, invariants(facts)) == (1, ["last-backup"]), "no other key could be used"
    days_pass(40)
    assert bank("finish", "b.key").code == 0
    assert states()[1] == "removed"
    done, facts = stepped(bank.run, "switch", "b.key", "--offline")
    assert (done.code, facts["breaches"][0]["invariant"]) == (1, "compromised")
    assert "certpin rotate start --new" in facts["breaches"][0]["fix"]


@pytest.mark.parametrize("end", ["removed", "compromised"])
def test_no_fix_pins_a_key_that_is_never_used_again(bank: Bank, end: str) -> None:
    bank("start", "--new", "other.key")
    if end == "removed":
        bank("shipped", "4")
        days_pass(40)
        bank("finish", "b.key")
    else:
        bank("emergency", "b.key", "--stolen")
    assert (states()[1], bank("shipped", next_number()).code) == (end, 0)
    days_pass(40)
    done, facts = stepped(bank.run, "switch", "b.pem", "--offline")
    assert (done.code, "adopted" in invariants(facts)) == (1, True)
    fixes = {each["fix"] for each in facts["breaches"]}
    assert fixes == {"start another: certpin rotate start --new next.key"}


def test_no_fix_publishes_a_key_that_was_lost_before_it_went_out(bank: Bank) -> None:
    bank("start", "--new", "other.key")
    bank("emergency", "other.key", "--lost")
    done, facts = stepped(bank.run, "switch", "other.key", "--offline")
    assert (done.code, "adopted" in invariants(facts)) == (1, True)
    fixes = {each["fix"] for each in facts["breaches"]}
    assert fixes == {"start another: certpin rotate start --new next.key"}


def test_a_finished_key_that_is_lost_needs_no_version(bank: Bank) -> None:
    for key in (bank.b.pin, bank.n.pin):
        bank.run("rotate", "emergency", str(key), "--lost", "--offline")
    bank.follow(bank.emergency("b.key", "--lost")[1])
    assert bank.emergency("b.key", "--lost")[1]["steps"] == []
    assert bank.emergency("n.key", "--lost")[1]["steps"] == []


def test_a_missing_backup_is_named_without_a_step_that_makes_one(bank: Bank) -> None:
    """C is in the pin file, and clients with version 3 refuse it for another T_adopt."""
    assert bank("start", "--new", "c.key").code == 0
    assert bank("shipped", "4").code == 0
    for ended in (False, True):
        _, path = bank.emergency("b.key", "--stolen")
        assert acts(path) == ([] if ended else ["publish", "revoke"])
        assert (path["lacks_backup"], path["backup_from"] is not None) == (True, True)
        assert "No backup can be used until 20" in bank("emergency", "b.key", "--stolen").out
        assert ended or bank("shipped", "5").code == 0
    days_pass(40)
    _, path = bank.emergency("b.key", "--stolen")
    assert (path["lacks_backup"], path["backup_from"]) == (False, None)
    assert "No backup can be used" not in bank("emergency", "b.key", "--stolen").out


def test_a_theft_counts_more_than_a_loss(bank: Bank) -> None:
    bank.emergency("a.key", "--stolen")
    done = bank("emergency", "a.key", "--lost")
    assert "is COMPROMISED at" in done.out
    assert "which is worse than lost" in done.out
    assert "may accept the key" in done.out
    assert "revoke" in done.out
    assert bank("emergency", "a.key", "--lost", "--stolen").code == 2
    assert [event.step for event in journal()] == ["publish", "compromise"]


def test_a_host_that_neither_file_knows_is_not_recorded(bank: Bank) -> None:
    done = bank("emergency", "a.key", "--stolen", "--host", "api.bank.exampel")
    assert (done.code, HOST in done.err, "NOT recorded" in done.err) == (2, True, True)
    assert [event.step for event in journal()] == ["publish"]
    Path("pins.toml").write_text("not TOML")
    done = bank("emergency", "a.key", "--stolen", "--host", "api.bank.exampel")
    assert (done.code, journal()[-1].step) == (1, "compromise")


def test_in_another_folder_the_missing_pin_file_is_named(bank: Bank) -> None:
    Path("elsewhere").mkdir()
    words = ("--file", "elsewhere/pins.toml")
    done = bank.run("rotate", "emergency", "a.key", "--stolen", *words)
    assert (done.code, "there is no elsewhere/pins.toml" in done.err) == (2, True)
    assert bank.run("rotate", "history", *words).code == 2
    Path("pins.journal.jsonl").unlink()
    assert bank.run("rotate", "history").code == 0


def test_the_journal_with_the_record_is_named(bank: Bank) -> None:
    assert "The journal is pins.journal.jsonl." in bank("emergency", "a.key", "--stolen").out


@pytest.mark.parametrize("command", [("switch", "gone.key"), ("emergency", "gone.key", "--lost")])
def test_a_missing_file_is_called_that(bank: Bank, command: tuple[str, ...]) -> None:
    done = bank(*command)
    assert (done.code, "there is no such file" in done.err) == (2, True)


def test_a_clock_that_makes_the_gate_refuse_is_named_with_its_repair(bank: Bank) -> None:
    future = Event(utc_now() + 3 * DAY, "anna", "stage", HOST, kit.NOBODY)
    with JOURNAL.open("a", encoding="utf-8") as file:
        file.write(format_journal([future]))
    done = bank("emergency", "a.key", "--stolen")
    line = done.out.splitlines()[1]
    assert line.startswith("CORRECT THE JOURNAL (certpin rotate clock --reason TEXT), and run this")
    assert (done.code, "Do now, in this order:" in done.out) == (0, True)
    assert bank.emergency("a.key", "--stolen")[0].json["clock"]


def test_a_version_of_a_later_time_leaves_the_path_open(bank: Bank) -> None:
    """Clients may hold it, and it does not count as published yet."""
    pins = replace(PinSet.load("pins.toml"), version=4)
    future = Event(utc_now() + 3 * DAY, "anna", "publish", version=4, pins=pins)
    with JOURNAL.open("a", encoding="utf-8") as file:
        file.write(format_journal([future]))
    done = bank("emergency", "a.key", "--stolen")
    assert (done.code, "CORRECT THE JOURNAL" in done.out, journal()[-1].step) == (
        1,
        True,
        "compromise",
    )
    assert "certpin rotate switch" not in done.out
    assert "Next, when that is fixed:  certpin rotate emergency" in done.out
    facts = bank("emergency", "a.key", "--stolen", "--json").json
    assert (facts["hosts"], facts["safe"], facts["problem"]) == ([], False, facts["clock"])


@pytest.mark.parametrize(
    ("names", "days", "problem"),
    [
        ((HOST,), -40, "expired on"),
        ((HOST,), 90, "not valid before"),
        (("other.example",), 0, f"is for other.example, and not for {HOST}"),
    ],
)
@pytest.mark.parametrize("key", ["a", "n"])
def test_a_certificate_that_every_client_refuses_is_not_installed(
    bank: Bank, names: tuple[str, ...], days: float, problem: str, key: str
) -> None:
    issuer = bank.issuer.at(utc_now() + days * DAY)
    loaded = getattr(bank, key).key
    made = issuer.issue(*names, key=loaded, days=30)
    Path("renewed.pem").write_bytes(made.chain_pem)
    done, facts = stepped(bank.run, "switch", "renewed.pem", "--offline")
    assert (done.code, facts["breaches"][0]["invariant"]) == (1, "certificate")
    assert problem in facts["breaches"][0]["problem"]
    if days == 0:
        assert "certpin rotate start" not in done.err


def test_status_keeps_the_planned_switch_and_knows_a_backup(bank: Bank) -> None:
    bank("start", "--new", "next.key")
    assert bank("shipped", "4").code == 0
    following = bank("status", "--json").json["hosts"][0]["next"]
    assert (following["act"], following["not_before"] is None) == ("switch", False)
    days_pass(33)
    following = bank("status", "--json").json["hosts"][0]["next"]
    assert (following["act"], following["not_before"]) == ("switch", None)


def test_the_only_backup_is_not_announced_as_the_next_key(bank: Bank) -> None:
    bank.emergency("a.key", "--stolen")
    bank("switch", "b.key")
    bank.install(bank.b)
    bank("start", "--new", "next-backup.key")
    assert bank("shipped", "4").code == 0
    assert bank("status", "--json").json["hosts"][0]["next"]["act"] == "none"
    days_pass(33)
    assert bank("status", "--json").json["hosts"][0]["next"]["act"] == "none"


def test_a_key_that_servers_present_without_a_switch_is_named(bank: Bank) -> None:
    bank("start", "--new", "next.key")
    bank("shipped", "4")
    days_pass(33)
    loaded = load_pem_private_key(Path("next.key").read_bytes(), None)
    bank.install(bank.issuer.issue(HOST, key=loaded))  # type: ignore[arg-type]  # P-256
    following = bank("status", "--json").json["hosts"][0]["next"]
    assert following["act"] == "switch"
    assert "`switch` was not run" in following["text"]
    refused = bank("finish")
    assert (refused.code, "certpin rotate switch was not run for it" in refused.err) == (1, True)
    facts = bank("finish", "--json").json
    assert (facts["done"], facts["breaches"][0]["invariant"]) == (False, "unrecorded")
    assert bank("finish", "--force", "--reason", "x").code == 1  # there is nothing to force
    (command,) = following["commands"]
    assert bank(*shlex.split(command)[2:]).code == 0
    assert bank("finish").code == 0
    assert states()[0] == "removed"


def test_lint_never_advises_to_activate_a_stolen_key(bank: Bank) -> None:
    bank("start", "--new", "next.key")
    bank.emergency("a.key", "--stolen")
    found = bank.run("lint", "--format", "json").json["findings"]
    (fix,) = [each["fix"] for each in found if each["rule"] == "no-active-pin"]
    assert "certpin rotate switch" in fix
    assert 'state = "active"' not in fix


def test_a_plan_prints_each_command_once(bank: Bank) -> None:
    plan = bank("plan", "--to", "b.key").out
    commands = [line for line in plan.splitlines() if "certpin rotate finish" in line]
    assert len(commands) == 1


def test_a_version_for_one_host_waits_for_the_others(bank: Bank) -> None:
    """The gate refuses a version in which the only backup of another host was stolen."""
    pins = PinSet.load("pins.toml")
    other = replace(pins.policies[0], pattern=HostPattern.parse("other.example"))
    write(pins.policies[0], other)
    bank("shipped", next_number(), "--force", "--reason", "x")
    days_pass(33)
    assert bank("start", "--new", "next.key", "--host", "other.example").code == 0
    bank.emergency("b.key", "--stolen")
    done = bank("status", "other.example", "--json")
    [host] = done.json["hosts"]
    assert (host["next"]["act"], bool(host["next"]["breaches"])) == ("publish", True)
    assert host["next"]["breaches"][0]["problem"].startswith(f"{HOST}: ")
    plan = bank("plan", "--to", "next.key", "--host", "other.example", "--json")
    [made] = plan.json["hosts"]
    assert (plan.code, made["possible"]) == (1, False)
    assert "publish" not in [step["act"] for step in made["steps"]]
    assert made["breaches"][0]["problem"].startswith(f"{HOST}: ")
    simulated = bank("simulate", "--to", "next.key", "--host", "other.example", "--clients", "9")
    assert (simulated.code, f"there is no plan to {plan.json['to']}: " in simulated.err) == (
        2,
        True,
    )
    assert HOST in simulated.err


@pytest.mark.medium
def test_a_stolen_backup_of_a_server_stops_no_later_rotation(bank: Bank) -> None:
    """Its pin keeps the role backup, which is that of a leaf: no authority may be stolen."""
    bank.emergency("b.key", "--stolen")
    for name in ("next.key", "later.key"):
        assert bank("start", "--new", name).code == 0
    assert bank("shipped", next_number()).code == 0
    days_pass(33)
    assert bank("plan", "--to", "next.key").code == 0
    done = bank("switch", "next.key")
    assert (done.code, "is ACTIVE" in done.out) == (0, True)


def test_hosts_that_are_planned_together_do_not_wait_for_each_other(bank: Bank) -> None:
    """The plan of each makes its own backup; a host that has no plan stops the others."""
    pins = PinSet.load("pins.toml")
    other = replace(pins.policies[0], pattern=HostPattern.parse("other.example"))
    write(pins.policies[0], other)
    bank("shipped", next_number(), "--force", "--reason", "x")
    days_pass(33)
    bank.emergency("b.key", "--lost")
    hosts = ("--host", HOST, "--host", "other.example")
    Path("next.key").write_bytes(Authority("any").key_pem)
    planned = bank("plan", "--to", "next.key", *hosts, "--json")
    assert [made["possible"] for made in planned.json["hosts"]] == [True, True]
    simulated = bank("simulate", "--to", "next.key", *hosts, "--clients", "100", "--json")
    assert (simulated.code, len(simulated.json["hosts"])) == (0, 2)


def test_a_stolen_backup_that_only_its_pin_names_may_be_an_authority(bank: Bank) -> None:
    """With the file of its key it is known to be a server's; a role is only a note."""
    bank.emergency(str(bank.b.pin), "--stolen")
    for name in ("next.key", "later.key"):
        assert bank("start", "--new", name).code == 0
    assert bank("shipped", next_number()).code == 0
    days_pass(33)
    done = bank("switch", "next.key", "--json")
    facts = done.json
    assert (done.code, invariants(facts)) == (1, ["open-chain"])
    assert f"below {bank.b.pin}, which is COMPROMISED" in facts["breaches"][0]["problem"]


def test_a_command_for_a_version_has_the_servers_that_the_user_gave(bank: Bank) -> None:
    """It contacts them again, and DNS may not know them yet; the version is for all hosts."""
    connect = ("--connect", f"{HOST}=127.0.0.1:1")
    done = bank.run("rotate", "emergency", "a.key", "--stolen", *connect, "--json")
    steps = done.json["hosts"][0]["steps"]
    [command] = [each for step in steps if step["act"] == "publish" for each in step["commands"]]
    assert command == f"certpin rotate shipped 4 --connect {HOST}=127.0.0.1:1"
    bank("start", "--new", "third.key")
    facts = bank.run("rotate", "status", *connect, "--host", HOST, "--json").json
    assert facts["hosts"][0]["next"]["act"] in {"emergency", "publish"}


def test_the_backup_that_is_an_authority_by_its_note_certifies_a_new_key(bank: Bank) -> None:
    """It has no private key here, and `switch` would take its pin for a server's key."""
    other = bank.root.intermediate("Other")
    Path("other.pem").write_bytes(other.pem)
    assert bank("start", "other.pem").code == 0
    assert bank("shipped", next_number()).code == 0
    days_pass(100)
    assert bank("emergency", "b.key", "--lost").code == 0
    done, path = bank.emergency("a.key", "--stolen")
    assert (done.code, acts(path)[:3]) == (0, ["request", "switch", "install"])
    request, switch = path["steps"][:2]
    assert f"a new key from the pinned authority (the backup {other.pin}" in request["text"]
    assert (request["commands"], [each.split()[3] for each in switch["commands"]]) == (
        [],
        ["fullchain.pem", "other.pem"],
    )
    made = other.issue(HOST)
    Path("fullchain.pem").write_bytes(made.chain_pem)
    for command in switch["commands"]:
        assert bank(*shlex.split(command)[2:]).code == 0, command
    bank.install(made)
    status = bank("status", "--json").json["hosts"][0]["next"]
    assert status["act"] != "repair"


def test_the_request_for_a_wildcard_of_any_depth_is_accepted(bank: Bank) -> None:
    """No certificate has such a name: `csr` refused the printed command."""
    text = Path("pins.toml").read_text().replace(f'name = "{HOST}"', 'name = "**.bank.example"')
    Path("pins.toml").write_text(text)
    JOURNAL.unlink()
    assert bank.run("rotate", "shipped", "3", "--offline").code == 0
    _, path = bank.emergency("a.key", "--stolen")
    (command,) = path["steps"][0]["commands"]
    assert "--host bank.example --host '*.bank.example' --out" in command
    done = bank.run(*("b.key" if word == "KEY" else word for word in shlex.split(command)[1:]))
    assert done.code == 0, done.err


def test_a_refused_step_names_a_file_that_does_not_exist(bank: Bank) -> None:
    bank.emergency("b.key", "--lost")
    for name in ("next.key", "next-backup.key"):
        Path(name).write_bytes(bank.n.key_pem)
    fix = "fix: start another: certpin rotate start --new next-2.key\n"
    assert fix in bank("switch", "b.key").err
    assert "certpin rotate start --new next-backup-2.key\n" in bank("shipped", "4").err
    assert bank("start", "--new", "next-backup-2.key").code == 0
