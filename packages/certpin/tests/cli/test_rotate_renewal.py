"""``certpin rotate switch FILE``: checks a renewed certificate before a server installs it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from certpin.lab import Authority
from certpin.lab.ct_log import LabLog, log_list, with_scts
from certpin.pinfile import PinSet
from certpin.pins import HostPin
from tests import kit
from tests.cli._pinfiles import write
from tests.cli._rotating import (
    JOURNAL,
    Bank,
    days_pass,
    invariants,
    next_number,
    ship_long_ago,
    stepped,
)
from tests.cli.conftest import HOST, Run

if TYPE_CHECKING:
    from certpin.pins import OnExpiry

OFFLINE = ("--offline",)
LEAF, BACKUP = kit.NOBODY_ELSE, kit.NOBODY


@pytest.fixture
def out(run: Run) -> Run:
    """Publish version 3 a hundred days ago. Return the function that runs commands."""
    write(kit.policy(HOST, LEAF, BACKUP))
    ship_long_ago(run)
    return run


def test_an_active_key_is_not_recorded_again(out: Run) -> None:
    assert stepped(out, "switch", str(BACKUP), *OFFLINE)[0].code == 0
    before = Path("pins.toml").read_bytes(), JOURNAL.read_bytes()
    done = out("rotate", "switch", str(BACKUP), *OFFLINE)
    assert (done.code, "is ACTIVE already" in done.out) == (0, True)
    assert (Path("pins.toml").read_bytes(), JOURNAL.read_bytes()) == before


@pytest.mark.parametrize(
    ("on_expiry", "conclusion"),
    [("fail-closed", "expired"), ("fail-open", "accepted"), ("report", "accepted")],
)
def test_clients_with_expired_pins_do_not_accept_a_key(
    run: Run, on_expiry: OnExpiry, conclusion: str
) -> None:
    """No rule refuses the step, because no key helps them: a version with later pins does."""
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(days=200)
    write(replace(kit.policy(HOST, LEAF, BACKUP), expires=end, on_expiry=on_expiry))
    ship_long_ago(run)
    for path in (Path("pins.toml"), JOURNAL):
        text = path.read_text(encoding="utf-8")
        past = (end - timedelta(days=202)).strftime("%Y-%m-%dT")
        path.write_text(text.replace(end.strftime("%Y-%m-%dT"), past), encoding="utf-8")
    done, facts = stepped(run, "switch", str(BACKUP), *OFFLINE)
    assert (done.code, [each["conclusion"] for each in facts["conclusions"]]) == (0, [conclusion])
    said = run("rotate", "switch", str(BACKUP), *OFFLINE).out
    is_expired = conclusion == "expired"
    assert ("every client accepts it" in said) != is_expired
    assert ("every client with pins that have not expired accepts it" in said) == is_expired
    refused = "Clients with version 3 refuse every server, with each key, because the pins have"
    assert (refused in said) == is_expired
    fix = "Publish a version with an `expires` further away than T_adopt (32d2h)."
    assert (fix in said) == is_expired


@pytest.mark.parametrize(
    ("later", "days", "clock"), [(1, 90, "behind"), (0, 0.02, "ahead"), (0, 90, "")]
)
def test_clients_with_a_wrong_clock_are_named_and_stop_no_renewal(
    run: Run, later: float, days: float, clock: str
) -> None:
    """Many authorities issue certificates that are valid from now on; the lab, from 1 h before."""
    bank = Bank(run)
    issuer = bank.issuer.at(datetime.now(UTC) + timedelta(hours=later))
    renewed = issuer.issue(HOST, key=bank.a.key, days=days)
    Path("renewed.pem").write_bytes(renewed.chain_pem)
    done = bank("switch", "renewed.pem")
    assert done.code == 0
    for word in ("behind", "ahead"):
        said = f"Clients with a clock that is up to 1h {word} refuse the chain"
        assert (said in done.out) == (word == clock)
    done = bank("switch", "renewed.pem", "--json")
    assert done.json["breaches"] == []


def test_an_active_key_is_refused_if_a_version_does_not_accept_it(out: Run) -> None:
    out("rotate", "start", "--new", "new.key")
    out("rotate", "start", "new.key")
    words = (*OFFLINE, "--force", "--reason", "the old key is lost")
    assert stepped(out, "switch", "new.key", *words)[0].code == 0
    done, facts = stepped(out, "switch", "new.key", *OFFLINE)
    assert (done.code, invariants(facts)) == (1, ["adopted"])


def test_a_renewal_changes_nothing_for_clients_that_a_forced_step_locked_out(
    run: Run, root: Authority, ca: Authority
) -> None:
    """An ACME hook runs this for each renewal with the same key."""
    first, other = ca.issue(HOST), ca.issue(HOST)
    trust = Path("root.pem")
    trust.write_bytes(root.pem)
    Path("served.pem").write_bytes(other.chain_pem + root.pem)
    Path("new.pem").write_bytes(ca.issue(HOST, key=other.key).chain_pem)
    Path("short.pem").write_bytes(replace(other, chain=other.chain[:1]).chain_pem)
    write(kit.policy(HOST, first.pin, BACKUP), trust=trust)
    app = ("--app", "com.bank.app", "--release")
    assert run("rotate", "shipped", "3", *app, "1", *OFFLINE).code == 0
    assert run("rotate", "start", str(other.pin)).code == 0
    forced = ("--force", "--reason", "release 1 is not supported any more")
    assert run("rotate", "switch", str(other.pin), *OFFLINE, *forced).code == 0
    served = (*OFFLINE, "--served", "served.pem")

    def renew() -> None:
        before = Path("pins.toml").read_bytes(), JOURNAL.read_bytes()
        done, facts = stepped(run, "switch", "new.pem", *served)
        assert (done.code, facts["breaches"], facts["events"]) == (0, [], [])
        refused = [c["version"] for c in facts["conclusions"] if c["conclusion"] == "refused"]
        assert refused == [3]
        text = run("rotate", "switch", "new.pem", *served).out
        assert "Clients with version 3 refuse the chain that servers present with" in text
        assert "very client accepts" not in text
        assert (Path("pins.toml").read_bytes(), JOURNAL.read_bytes()) == before
        (planned,) = run("rotate", "plan", "--to", "new.pem", *served, "--json").json["hosts"]
        assert "adopted" not in [each["invariant"] for each in planned["breaches"]]

    renew()  # all clients are locked out, and only the draft has the key
    assert stepped(run, "switch", "short.pem", *served)[0].code == 1, "it has no path to the root"
    assert stepped(run, "switch", "new.pem", *OFFLINE)[0].code == 1, "no server is known"
    assert run("rotate", "shipped", "4", *app, "2", *served, *forced).code == 0
    renew()


def test_a_new_key_is_refused_with_the_clients_at_risk(out: Run) -> None:
    """An ACME client makes such a key at each renewal by default."""
    before = Path("pins.toml").read_bytes(), JOURNAL.read_bytes()
    done, facts = stepped(out, "switch", str(Authority("x").pin), *OFFLINE)
    assert (done.code, invariants(facts)) == (1, ["adopted"])
    assert facts["breaches"][0]["clients"] == 12
    assert (Path("pins.toml").read_bytes(), JOURNAL.read_bytes()) == before


def test_a_new_key_is_not_forced_past_the_draft(out: Run) -> None:
    words = (*OFFLINE, "--force", "--reason", "we know better")
    new = Authority("x").pin
    done = out("rotate", "switch", str(new), *words)
    assert (done.code, "GENERATED, and cannot become ACTIVE" in done.err) == (2, True)
    assert f"fix: put it into the pin file first: certpin rotate start {new}" in done.err


def test_a_forced_step_does_not_say_that_every_client_accepts_the_key(out: Run) -> None:
    out("rotate", "start", "--new", "new.key")
    done = out("rotate", "switch", "new.key", *OFFLINE, "--force", "--reason", "stolen")
    assert (done.code, "by force, although a rule" in done.out) == (0, True)
    assert "every client accepts it" not in done.out
    assert "Next:  certpin rotate status" in done.out, "finish could remove a key that they need"


def test_a_pin_that_the_pin_file_lost_is_to_be_put_back(out: Run) -> None:
    """Clients accept the key by its own pin, and not by that of an authority above it."""
    write(kit.policy(HOST, BACKUP, Authority("next").pin))
    done = out("rotate", "switch", str(LEAF), *OFFLINE)
    assert (done.code, "pins.toml has no pin of it: put that back" in done.out) == (0, True)


def test_a_pin_that_an_authority_replaces_is_not_to_be_put_back(
    run: Run, root: Authority, ca: Authority
) -> None:
    """The draft moves from the pin of the leaf to that of its authority, on purpose."""
    identity = ca.issue(HOST)
    pins = (HostPin(identity.pin), HostPin(ca.pin, "intermediate"), HostPin(BACKUP, "backup"))
    before = replace(kit.policy(HOST, identity.pin, BACKUP), pins=pins)
    Path("root.pem").write_bytes(root.pem)
    write(before, trust=Path("root.pem"))
    ship_long_ago(run)
    write(replace(before, pins=pins[1:]), trust=Path("root.pem"))
    Path("fullchain.pem").write_bytes(identity.chain_pem)
    done = run("rotate", "switch", "fullchain.pem", *OFFLINE)
    assert (done.code, "accepts the authorities above" in done.out) == (0, True)


def test_a_key_that_a_person_marked_compromised_is_not_used_again(out: Run) -> None:
    """The journal has no record of the theft yet."""
    file = Path("pins.toml")
    assert out("rotate", "start", "--new", "third.key").code == 0
    head, tail = file.read_text().split(str(BACKUP))
    marked = tail.replace('state = "active"', 'state = "compromised"', 1)
    file.write_text(f"{head}{BACKUP}{marked}")
    done, facts = stepped(out, "switch", str(BACKUP), *OFFLINE)
    assert (done.code, invariants(facts)) == (1, ["compromised"])
    forced = out("rotate", "switch", str(BACKUP), *OFFLINE, "--force", "--reason", "x")
    assert (forced.code, "also not with --force" in forced.err) == (2, True)
    assert 'state = "compromised"' in file.read_text()


@pytest.mark.parametrize(
    ("names", "policies", "asked"),
    [
        (["api.bank.example"], ["api.bank.example", "other.example"], ["api.bank.example"]),
        (
            ["api.bank.example", "other.example"],
            ["api.bank.example", "other.example"],
            ["api.bank.example", "other.example"],
        ),
        (["a.bank.example"], ["api.bank.example", "*.bank.example"], ["*.bank.example"]),
        (["api.bank.example"], ["api.bank.example", "**.bank.example"], ["api.bank.example"]),
        (
            ["*.bank.example"],
            ["api.bank.example", "bank.example", "**.bank.example"],
            ["api.bank.example", "**.bank.example"],
        ),
        (["*.bank.example"], ["*.a.bank.example", "**.a.bank.example"], ["**.a.bank.example"]),
        (["192.0.2.7"], ["192.0.2.7", "other.example"], ["192.0.2.7"]),
        (["no host"], ["api.bank.example", "other.example"], None),
    ],
)
def test_a_certificate_is_checked_for_each_of_its_hosts(
    run: Run, root: Authority, names: list[str], policies: list[str], asked: list[str] | None
) -> None:
    identity = root.issue(*names)
    Path("leaf.pem").write_bytes(identity.chain_pem)
    write(*(kit.policy(host, identity.pin, BACKUP) for host in policies))
    run("rotate", "shipped", next_number(), *OFFLINE)
    _, facts = stepped(run, "switch", "leaf.pem", *OFFLINE)
    assert facts["hosts"] == (asked or policies)  # of no host: those that have its pin


def test_a_certificate_for_a_host_without_its_pin_is_refused(run: Run, root: Authority) -> None:
    identity = root.issue(HOST, "other.example")
    Path("leaf.pem").write_bytes(identity.chain_pem)
    write(kit.policy(HOST, identity.pin, BACKUP), kit.policy("other.example", LEAF, BACKUP))
    run("rotate", "shipped", next_number(), *OFFLINE)
    before = JOURNAL.read_bytes()
    assert run("rotate", "switch", "leaf.pem", *OFFLINE).code != 0
    assert JOURNAL.read_bytes() == before
    assert run("rotate", "switch", str(identity.pin), *OFFLINE, "--host", HOST).code == 0


# The whole chain.


@pytest.fixture
def ca(trusted_root: Path, root: Authority) -> Authority:
    """Return an intermediate authority below a root that this machine trusts."""
    return root.intermediate("ca")


def by_authority(run: Run, ca: Authority, match: str) -> Run:
    """Pin the authority, with this ``match`` setting, and publish that a hundred days ago.

    Return the function that runs commands.
    """
    write(kit.policy(HOST, ca.pin, BACKUP, match=match))
    text = Path("pins.toml").read_text(encoding="utf-8")
    Path("pins.toml").write_text(text.replace('"leaf"', '"intermediate"'), encoding="utf-8")
    ship_long_ago(run)
    return run


@pytest.mark.parametrize("match", ["ca", "any"])
def test_a_new_key_under_the_pinned_authority_may_be_installed(
    run: Run, ca: Authority, match: str
) -> None:
    by_authority(run, ca, match)
    Path("fullchain.pem").write_bytes(ca.issue(HOST).chain_pem)
    before = Path("pins.toml").read_bytes(), JOURNAL.read_bytes()
    done = run("rotate", "switch", "fullchain.pem", *OFFLINE)
    assert (done.code, "so it needs no pin." in done.out) == (0, True)
    assert (Path("pins.toml").read_bytes(), JOURNAL.read_bytes()) == before


@pytest.mark.parametrize("match", ["ca", "any"])
def test_a_new_key_under_another_authority_is_refused(
    run: Run, root: Authority, ca: Authority, match: str
) -> None:
    by_authority(run, ca, match)
    Path("fullchain.pem").write_bytes(root.intermediate("other").issue(HOST).chain_pem)
    done, facts = stepped(run, "switch", "fullchain.pem", *OFFLINE)
    assert (done.code, invariants(facts)) == (1, ["adopted"])
    assert facts["breaches"][0]["clients"] == 12


def test_the_pin_of_a_leaf_is_not_enough_for_a_host_that_matches_authorities(
    run: Run, root: Authority, ca: Authority
) -> None:
    """With ``match = "ca"``, clients compare pins with the keys of authorities only.

    All published versions have the pin of the leaf's key, but clients would refuse its certificate
    from another authority.
    """
    by_authority(run, ca, "ca")
    Path("new.key").write_bytes(root.issue(HOST).key_pem)
    assert run("rotate", "start", "new.key").code == 0
    assert run("rotate", "shipped", next_number(), *OFFLINE).code == 0
    days_pass(100)
    done, facts = stepped(run, "switch", "new.key", *OFFLINE)
    assert (done.code, invariants(facts)) == (1, ["open-chain"])
    assert {each["conclusion"] for each in facts["conclusions"]} == {"open"}
    assert "fullchain.pem" in facts["breaches"][0]["fix"]
    key: Any = load_pem_private_key(Path("new.key").read_bytes(), None)
    other = root.intermediate("other").issue(HOST, key=key)
    Path("fullchain.pem").write_bytes(other.chain_pem)
    done, facts = stepped(run, "switch", "fullchain.pem", *OFFLINE)
    assert (done.code, invariants(facts)) == (1, ["adopted"])
    Path("fullchain.pem").write_bytes(ca.issue(HOST, key=key).chain_pem)
    before = Path("pins.toml").read_bytes()
    done = run("rotate", "switch", "fullchain.pem", *OFFLINE)
    assert (done.code, "so it needs no pin." in done.out) == (0, True)
    assert Path("pins.toml").read_bytes() == before  # the leaf's pin is not ACTIVE


def test_a_staged_key_under_the_pinned_authority_leaves_no_contradiction(
    run: Run, ca: Authority
) -> None:
    by_authority(run, ca, "any")
    identity = ca.issue(HOST)
    Path("new.key").write_bytes(identity.key_pem)
    Path("fullchain.pem").write_bytes(identity.chain_pem)
    assert run("rotate", "start", "new.key").code == 0
    _, facts = stepped(run, "switch", "fullchain.pem", *OFFLINE)
    assert [event["step"] for event in facts["events"]] == ["activate"]
    again = run("rotate", "switch", "fullchain.pem", *OFFLINE)
    assert (again.code, "is ACTIVE already" in again.out, again.err) == (0, True, "")


def test_a_renewal_without_the_scts_that_clients_require_is_refused(
    run: Run, ca: Authority
) -> None:
    """An ACME hook asks before it installs a certificate, and then keeps the old one."""
    logs = (LabLog.make("Alpha"), LabLog.make("Beta"))
    now = datetime.now(UTC)
    listed = json.dumps(log_list(logs, now - timedelta(days=1)).to_json())
    Path("logs.json").write_text(listed, encoding="utf-8")
    bare = ca.issue(HOST)
    key: Any = load_pem_private_key(bare.key_pem, None)
    write(kit.policy(HOST, bare.pin, BACKUP))
    text = Path("pins.toml").read_text(encoding="utf-8")
    text = text.replace("[[host]]", 'ct_logs = "logs.json"\n[[host]]\nrequire_ct = true', 1)
    Path("pins.toml").write_text(text, encoding="utf-8")
    assert run("rotate", "shipped", next_number(), *OFFLINE, "--clients", "12").code == 0
    days_pass(100)
    key_only = run("rotate", "switch", str(bare.pin), *OFFLINE)
    assert (key_only.code, "signatures and SCTs (require_ct) are valid" in key_only.out) == (
        0,
        True,
    )
    before = Path("pins.toml").read_bytes(), JOURNAL.read_bytes()
    Path("fullchain.pem").write_bytes(bare.chain_pem)
    done, facts = stepped(run, "switch", "fullchain.pem", *OFFLINE)
    assert (done.code, invariants(facts)) == (1, ["adopted"])
    assert "it has SCTs of 0 known logs, and needs 2" in facts["breaches"][0]["problem"]
    assert "get a certificate with embedded SCTs" in facts["breaches"][0]["fix"]
    assert (Path("pins.toml").read_bytes(), JOURNAL.read_bytes()) == before
    promises = with_scts(ca, logs, now - timedelta(hours=1))
    Path("fullchain.pem").write_bytes(ca.issue(HOST, key=key, change=promises).chain_pem)
    assert run("rotate", "switch", "fullchain.pem", *OFFLINE).code == 0


def test_the_certificate_of_an_authority_may_be_activated(run: Run, ca: Authority) -> None:
    by_authority(run, ca, "ca")
    Path("ca.pem").write_bytes(ca.pem)
    assert stepped(run, "switch", "ca.pem", *OFFLINE)[0].code == 0
    Path("other.pem").write_bytes(Authority("other").pem)
    done, facts = stepped(run, "switch", "other.pem", *OFFLINE)
    assert (done.code, invariants(facts)) == (1, ["adopted"])
    Path("between.pem").write_bytes(Authority("other").intermediate("between").pem)
    done, facts = stepped(run, "switch", "between.pem", *OFFLINE)  # a pinned one may be above it
    assert (done.code, invariants(facts)) == (1, ["open-chain"])


def test_a_file_with_the_key_first_is_read_as_a_chain(run: Run, ca: Authority) -> None:
    """HAProxy and lighttpd use files that have the private key before the chain."""
    by_authority(run, ca, "any")
    identity = ca.issue(HOST)
    Path("all.pem").write_bytes(identity.key_pem + identity.chain_pem)
    assert stepped(run, "switch", "all.pem", *OFFLINE)[0].code == 0
    Path("all.pem").write_bytes(identity.key_pem + ca.issue(HOST).chain_pem)
    done = run("rotate", "switch", "all.pem", *OFFLINE)
    assert (done.code, "has the key that is first in it" in done.err) == (2, True)


def test_a_chain_in_the_wrong_order_is_refused(run: Run, ca: Authority) -> None:
    by_authority(run, ca, "any")
    Path("chain.pem").write_bytes(ca.pem + ca.issue(HOST).chain_pem)
    done = run("rotate", "switch", "chain.pem", *OFFLINE)
    assert (done.code, "first" in done.err) == (2, True)


def test_a_host_that_the_draft_dropped_is_checked_too(run: Run, ca: Authority) -> None:
    other = "other.example"
    write(kit.policy(HOST, ca.pin, BACKUP), kit.policy(other, LEAF, BACKUP))
    ship_long_ago(run)
    write(kit.policy(HOST, ca.pin, BACKUP))
    Path("fullchain.pem").write_bytes(ca.issue(HOST, other).chain_pem)
    done, facts = stepped(run, "switch", "fullchain.pem", *OFFLINE)
    assert (done.code, invariants(facts)) == (1, ["adopted"])
    assert facts["breaches"][0]["host"] == other
    Path("fullchain.pem").write_bytes(ca.issue(HOST).chain_pem)
    assert stepped(run, "switch", "fullchain.pem", *OFFLINE)[0].code == 0


def test_a_wildcard_certificate_is_checked_for_the_hosts_that_the_draft_dropped(
    run: Run, ca: Authority
) -> None:
    other = "www.bank.example"
    write(kit.policy(HOST, ca.pin, BACKUP), kit.policy(other, LEAF, BACKUP))
    ship_long_ago(run)
    write(kit.policy(HOST, ca.pin, BACKUP))
    Path("fullchain.pem").write_bytes(ca.issue("*.bank.example").chain_pem)
    done, facts = stepped(run, "switch", "fullchain.pem", *OFFLINE)
    assert (done.code, invariants(facts)) == (1, ["adopted"])
    assert facts["breaches"][0]["host"] == "*.bank.example"


def test_an_activated_authority_gets_the_role_of_one(run: Run, ca: Authority) -> None:
    write(kit.policy(HOST, LEAF, BACKUP))
    assert run("rotate", "shipped", next_number(), *OFFLINE).code == 0
    Path("ca.pem").write_bytes(ca.pem)
    assert run("rotate", "start", "ca.pem").code == 0
    assert run("rotate", "shipped", next_number(), *OFFLINE).code == 0
    days_pass(100)
    assert stepped(run, "switch", "ca.pem", *OFFLINE)[0].code == 0
    entries = {entry.pin: entry for entry in PinSet.load("pins.toml").policies[0].pins}
    assert (entries[ca.pin].role, entries[ca.pin].state) == ("intermediate", "active")
