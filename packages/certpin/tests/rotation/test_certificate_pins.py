"""A stolen or lost key has several pins: its own, and those of its certificates (cert-sha256)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from certpin.pins import HostPin, Pin, PinSet, pins_of
from certpin.rotation import (
    DeployedVersions,
    PinHistory,
    ServerObservation,
    Sighting,
    Situation,
    Version,
    Violation,
    check_step,
)
from certpin.rotation.deadlines import certificates_perhaps_of, key_exposure
from certpin.rotation.emergency import EmergencyPath, Fact, emergency_path
from certpin.rotation.gate import check_now
from certpin.rotation.journal import pin_state
from certpin.rotation.next_step import next_step
from certpin.rotation.prospect import Prospect
from certpin.rotation.situation import pins_by_key
from certpin.x509 import Certificate, Chain
from tests.rotation._situations import DAY, HOUR, NOW, pin, policy, situation

if TYPE_CHECKING:
    from datetime import datetime

    from certpin.pins import Match, OnExpiry

LEAF = Certificate(b"the leaf", b"k")
ISSUER = Certificate(b"the issuer", b"issuer")
KEY, CERTIFICATE = pins_of(LEAF)
CHAIN = Chain((LEAF, ISSUER))
BACKUPS = (HostPin(pin("b"), "backup", "published"), HostPin(pin("c"), "backup", "published"))
PINNED = HostPin(CERTIFICATE, "leaf", "active")
BY_ISSUER = HostPin(pin("issuer"), "intermediate", "active")


def known(*entries: HostPin, seen: bool = True, **past: Any) -> Situation:
    """Return a situation in which version 1 and the draft have these pins and two backups."""
    draft = PinSet("bank", 2, (policy([*entries, *BACKUPS]),))
    out = Version(replace(draft, version=1), fetched=NOW - 40 * DAY, clients=7)
    sightings = (Sighting("192.0.2.7:443", CHAIN),) if seen else ()
    return situation(draft, out, seen=sightings, past=PinHistory(**past))


def path(fact: Fact, pin: Pin, **fields: Any) -> EmergencyPath:
    past: dict[str, Any] = {"compromised" if fact == "stolen" else "lost": frozenset({pin})}
    return emergency_path(known(PINNED, **fields, **past), pin, fact)


def invariants(found: tuple[Violation, ...]) -> list[str]:
    return [violation.invariant for violation in found]


@pytest.mark.parametrize("fact", ["stolen", "lost"])
@pytest.mark.parametrize("recorded", [KEY, CERTIFICATE], ids=["key", "certificate"])
def test_servers_do_not_go_back_to_a_certificate_of_the_key(fact: Fact, recorded: Pin) -> None:
    found = path(fact, recorded)
    switch = next(step for step in found.steps if step.act == "switch")
    assert (switch.pin, found.is_safe, found.in_use) == (pin("b"), True, True)
    assert found.others == ()  # they are of the same key


def test_clients_that_pin_a_certificate_of_a_stolen_key_accept_the_key() -> None:
    exposure = path("stolen", KEY).exposure
    assert exposure is not None
    assert [(stage.versions, stage.clients) for stage in exposure.stages] == [((1,), 7)]


def test_clients_may_accept_a_stolen_key_by_a_certificate_that_no_server_showed() -> None:
    stolen = {"compromised": frozenset({KEY})}

    def perhaps(*entries: HostPin, seen: bool = False) -> tuple[Pin, ...]:
        return certificates_perhaps_of(known(*entries, seen=seen, **stolen), KEY)

    (stage,) = key_exposure(known(PINNED, seen=False, **stolen), KEY).stages
    assert (stage.versions, stage.clients) == ((1,), 7)
    assert perhaps(PINNED) == (CERTIFICATE,)
    assert perhaps(PINNED, seen=True) == (), "its certificate is known"
    assert perhaps(replace(PINNED, state="retiring"), BY_ISSUER) == (CERTIFICATE,)
    assert perhaps(replace(PINNED, state="published")) == (), "servers don't use it"
    assert perhaps(BY_ISSUER) == ()
    pinned = known(PINNED, HostPin(KEY, "leaf", "active"), seen=False, **stolen)
    assert certificates_perhaps_of(pinned, KEY) == (), "the pin of the key is known"


def test_a_certificate_that_may_have_the_stolen_key_comes_after_the_backups() -> None:
    """No server was contacted, so it is unknown of which key it is."""
    found = path("stolen", KEY, seen=False)
    assert next(step.pin for step in found.steps if step.act == "switch") == pin("b")


@pytest.mark.parametrize("field", ["compromised", "lost"])
def test_a_certificate_of_an_unusable_key_is_no_backup(field: str) -> None:
    past: dict[str, Any] = {field: frozenset({KEY})}
    dead = known(PINNED, **past)
    assert dead.usable == {pin("b"), pin("c")}
    expected = "compromised" if field == "compromised" else "lost"
    assert expected in invariants(check_step(dead, "activate", CERTIFICATE))


def test_the_key_of_a_served_certificate_that_is_stolen_is_stolen() -> None:
    """So it is not used again in another certificate."""
    host = known(PINNED, BY_ISSUER, compromised=frozenset({CERTIFICATE}))
    renewed = Prospect(Certificate(b"the renewed leaf", b"k"), (ISSUER,))
    (found,) = check_step(host, "activate", KEY, (renewed,))
    assert (found.invariant, str(KEY) in found.problem) == ("compromised", True)


def test_a_certificate_of_an_unusable_key_is_no_emergency_before_its_key() -> None:
    assert next_step(known(PINNED, compromised=frozenset({KEY})), {}, differs=False).pin == KEY


@pytest.mark.parametrize(
    ("past", "invariant"),
    [
        ({"compromised": frozenset({CERTIFICATE})}, "compromised"),
        ({"lost": frozenset({CERTIFICATE})}, "lost"),
        ({}, "compromised"),
    ],
    ids=["compromised", "lost", "removed"],
)
def test_a_chain_with_an_unusable_certificate_is_refused(
    past: dict[str, Any], invariant: str
) -> None:
    """Clients accept it by the pin of its issuer."""
    entry = HostPin(CERTIFICATE, "leaf", "active" if past else "removed")
    host = known(BY_ISSUER, entry, seen=False, **past)
    (found,) = check_step(host, "activate", KEY, (Prospect(LEAF, (ISSUER,)),))
    assert (found.invariant, str(CERTIFICATE) in found.problem) == (invariant, True)
    other = Prospect(Certificate(b"another leaf", b"other"), (ISSUER,))
    assert check_step(host, "activate", pin("other"), (other,)) == ()


@pytest.mark.parametrize("entry", [PINNED, BY_ISSUER], ids=["certificate", "authority"])
def test_a_stolen_key_that_a_server_uses_and_clients_accept_is_reported(entry: HostPin) -> None:
    """The host does not have the pin of the key, so that no version refuses it."""
    host = known(entry, compromised=frozenset({KEY}))
    for found in (check_now(host), check_step(host, "publish")):
        violation = next(each for each in found if "serves" in each.problem)
        assert (violation.invariant, violation.clients) == ("compromised", 7)
        assert f"certpin rotate emergency {KEY} --stolen" in violation.fix
    assert check_now(known(entry)) == ()


def test_a_version_that_refuses_a_stolen_key_or_reports_it_does_not_accept_it() -> None:
    marked = known(BY_ISSUER, HostPin(KEY, "leaf", "compromised"))
    assert invariants(check_now(marked)) == ["served-chain"]
    draft = replace(marked.policy, mode="report")  # clients report it, and accept it
    reports = replace(marked, pins=replace(marked.pins, policies=(draft,)))
    assert "compromised" not in invariants(check_step(reports, "publish"))


@pytest.mark.parametrize(
    ("on_expiry", "ends", "accepted"),
    [
        ("fail-closed", NOW - HOUR, True),  # a client with a slow clock still accepts it
        ("fail-closed", NOW - 2 * DAY, False),
        ("fail-open", NOW - HOUR, True),  # one with the right time does
    ],
)
def test_a_stolen_key_is_reported_if_clients_accept_it_by_any_clock(
    on_expiry: OnExpiry, ends: datetime, accepted: bool
) -> None:
    pinned = BY_ISSUER if on_expiry == "fail-closed" else HostPin(pin("other"), "intermediate")
    host = known(pinned, compromised=frozenset({KEY}))
    old = replace(host.policy, expires=ends, on_expiry=on_expiry)
    out = Version(PinSet("bank", 1, (old,)), fetched=NOW - 40 * DAY)
    expired = replace(host, deployed=DeployedVersions((out,)))
    assert ("compromised" in invariants(check_now(expired))) is accepted


def test_a_stolen_root_of_a_chain_is_not_reported_as_a_servers_key() -> None:
    """The draft may have to accept it until clients trust another root."""
    assert check_now(known(BY_ISSUER, compromised=frozenset({pin("issuer")}))) == ()


# A certificate that a server showed earlier: the journal has its pin beside that of its key.

SHOWN = pins_by_key([(KEY, CERTIFICATE)])
FACTS: list[Fact] = ["stolen", "lost"]


def shown(*entries: HostPin, fact: Fact = "stolen", pin: Pin = KEY, **fields: Any) -> Situation:
    """Return a situation without servers, in which the journal has ``SHOWN`` and the fact."""
    past: dict[str, Any] = {"compromised" if fact == "stolen" else "lost": frozenset({pin})}
    return known(*entries, seen=False, same_keys=SHOWN, **past, **fields)


@pytest.mark.parametrize("recorded", [KEY, CERTIFICATE], ids=["key", "certificate"])
@pytest.mark.parametrize("fact", FACTS)
def test_a_certificate_that_a_server_showed_earlier_is_not_used_again(
    fact: Fact, recorded: Pin
) -> None:
    expected = "compromised" if fact == "stolen" else "lost"
    host = shown(PINNED, BY_ISSUER, fact=fact, pin=recorded)
    assert host.usable == {pin("b"), pin("c"), pin("issuer")}
    for each in (KEY, CERTIFICATE):
        assert invariants(check_step(host, "activate", each))[0] == expected
        assert pin_state(host, each) == expected
        # A host without the pin, too: it would be added to the pin file.
        assert invariants(check_step(shown(fact=fact, pin=recorded), "stage", each)) == [expected]


@pytest.mark.parametrize("fact", FACTS)
def test_other_certificates_can_be_used_after_a_theft_or_loss(fact: Fact) -> None:
    _, other = pins_of(Certificate(b"another leaf", b"other"))
    host = shown(PINNED, HostPin(other, "backup", "published"), fact=fact)
    assert other in host.usable
    assert check_step(host, "activate", other) == ()
    assert check_step(host, "stage", pin("other")) == ()
    unharmed = known(PINNED, seen=False, same_keys=SHOWN)
    assert check_step(unharmed, "activate", CERTIFICATE) == ()
    assert unharmed.compromised | unharmed.lost == frozenset()


def test_certificates_that_no_version_pins_are_not_listed_as_stolen() -> None:
    """Otherwise the status would list each renewal of a stolen key."""
    assert shown(BY_ISSUER).compromised == {KEY}
    assert shown(PINNED).compromised == {KEY, CERTIFICATE}


@pytest.mark.parametrize("match", ["any", "leaf"])
@pytest.mark.parametrize("fact", FACTS)
def test_servers_that_were_not_seen_may_use_the_key_of_a_pinned_certificate(
    fact: Fact, match: Match
) -> None:
    host = shown(PINNED, fact=fact)
    draft = PinSet("bank", 2, (replace(host.policy, match=match),))
    found = emergency_path(replace(host, pins=draft), KEY, fact)
    switch = next(step for step in found.steps if step.act == "switch")
    assert (switch.pin, found.in_use, found.is_safe, found.others) == (pin("b"), True, True, ())


def test_a_backup_that_a_server_of_another_host_showed_is_not_in_use() -> None:
    """Its certificate has no entry here, so only the entry of the key counts."""
    host = shown(BY_ISSUER, HostPin(KEY, "backup", "published"))
    assert not emergency_path(host, KEY, "stolen").in_use


def test_a_forgotten_server_may_use_the_key_of_a_stolen_certificate() -> None:
    """The pin file no longer lists it. It presented the key when it was last seen."""
    host = shown(BY_ISSUER, pin=CERTIFICATE)
    draft = PinSet("bank", 2, (replace(host.policy, match="leaf"),))
    last = ServerObservation(host.pattern, "192.0.2.9:443", NOW - DAY, KEY)
    host = replace(host, pins=draft)
    assert not emergency_path(host, CERTIFICATE, "stolen").in_use
    assert emergency_path(replace(host, observed=(last,)), CERTIFICATE, "stolen").in_use


def test_clients_accept_a_stolen_key_by_a_certificate_that_a_server_showed() -> None:
    (stage,) = key_exposure(shown(PINNED), KEY).stages
    assert (stage.versions, stage.clients) == ((1,), 7)
    assert key_exposure(shown(replace(PINNED, state="removed")), KEY).stages == ()
    marked = shown(PINNED, HostPin(KEY, "leaf", "compromised"))
    assert key_exposure(marked, KEY).stages == (), "clients refuse the key of the certificate"
    assert certificates_perhaps_of(shown(PINNED), KEY) == ()


def test_a_certificate_that_the_journal_lacks_may_have_the_key_beside_a_known_one() -> None:
    _, other = pins_of(Certificate(b"another leaf", b"other"))
    host = shown(PINNED, HostPin(other, "leaf", "active"))
    assert certificates_perhaps_of(host, KEY) == (other,)


def test_the_pins_of_a_key_are_found_through_served_and_recorded_certificates() -> None:
    """One of its certificates is in the journal, and another one is served now."""
    earlier, other = (pins_of(Certificate(each, b"k"))[1] for each in (b"earlier", b"other"))
    host = known(PINNED, same_keys=pins_by_key([(KEY, earlier), (pin("b"), other)]))
    same = {KEY, CERTIFICATE, earlier}
    assert all(host.same_keys({each}) == same for each in same)
    assert host.same_keys({other}) == {other, pin("b")}
    assert host.same_keys({pin("c")}) == {pin("c")}
    assert {each for pair in host.pairs_of_key(earlier) for each in pair} == same
    assert host.pairs_of_key(pin("c")) == []
