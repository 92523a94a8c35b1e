"""The rotation gate: for each safety rule, steps that it refuses and steps that it allows.

A refusal has the number of clients at risk and the date from which the step is safe.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from certpin.lab import Authority
from certpin.pins import HostPattern, HostPin, HostPolicy, PinSet
from certpin.rotation import (
    AppRelease,
    DeployedVersions,
    PinHistory,
    ServerObservation,
    Sighting,
    Situation,
    Version,
    Violation,
    check_step,
)
from certpin.rotation.gate import check_now
from certpin.rotation.prospect import Prospect
from certpin.rotation.rules import dropped_pins, hosts_kept
from certpin.support.text import in_utc
from tests import kit
from tests.rotation._situations import (
    DAY,
    HOST,
    HOUR,
    NOW,
    PATTERN,
    TIMING,
    bundled,
    chain,
    entries,
    pin,
    pin_set,
    root_set,
    sighting,
    situation,
    unverified,
    version,
)

if TYPE_CHECKING:
    from datetime import datetime

    from certpin.pins import State

AB: dict[str, State] = {"a": "active", "b": "published"}
OUT = version(1, AB, ago=40 * DAY, clients=7)
SEEN = (sighting("a", "ca", "root"),)


def known(states: dict[str, State], number: int = 2, **fields: Any) -> Situation:
    """Return a situation with a draft, a published version 1, and a server with the key ``a``.

    Args:
        states: the pins of the draft and their states.
        number: the draft's version.
        fields: fields of the draft's policy, or of the situation.
    """
    pins = {name: fields.pop(name) for name in ("expires", "mode", "on_expiry") if name in fields}
    versions = fields.pop("versions", (OUT,))
    seen = fields.pop("seen", SEEN)
    return situation(pin_set(states, number, **pins), *versions, seen=seen, **fields)


def only(violations: tuple[Violation, ...]) -> Violation:
    (violation,) = violations
    assert violation.fix
    return violation


def names(violations: tuple[Violation, ...]) -> list[str]:
    return [violation.invariant for violation in violations]


GOOD: dict[str, State] = {**AB, "c": "staged"}


def test_a_good_draft_is_published() -> None:
    assert check_step(known(GOOD), "publish") == ()


def test_a_version_that_is_not_higher_is_not_published() -> None:
    violation = only(check_step(known(GOOD, 1), "publish"))
    assert (violation.invariant, violation.clients) == ("version", 7)
    assert "version 2" in violation.fix


@pytest.mark.parametrize(
    ("before", "after", "dropped"),
    [
        ("api.bank.example pay.bank.example", "api.bank.example", "pay.bank.example"),
        ("api.bank.example", "*.bank.example", ""),
        ("**.bank.example", "bank.example *.bank.example", "**.bank.example"),
        ("*.bank.example", "api.bank.example", "*.bank.example"),
        ("*.bank.example api.bank.example", "*.bank.example", ""),
        ("*.bank.example api.bank.example", "api.bank.example", "*.bank.example"),
        ("*.bank.example", "**.bank.example", ""),
    ],
)
@pytest.mark.parametrize("mode", ["enforce", "report"])
def test_a_host_of_the_latest_version_keeps_a_policy(
    before: str, after: str, dropped: str, mode: Any
) -> None:
    def version_of(hosts: str, number: int) -> PinSet:
        policies = (kit.policy(each, pin("a"), pin("b"), mode=mode) for each in hosts.split())
        return kit.pin_set(*policies, version=number)

    draft = version_of(after, 3)
    latest = Version(version_of(before, 2), fetched=NOW - DAY, clients=7)
    older = Version(version_of("old.bank.example", 1), fetched=NOW - 40 * DAY, clients=9)
    found = hosts_kept(DeployedVersions((older, latest)), draft)
    assert [str(pattern) for pattern, _ in found] == dropped.split()
    for _, violation in found:
        assert (violation.invariant, violation.clients) == ("dropped-host", 7)
        has_some = dropped.startswith("*") and HOST not in before
        assert ("none for some of its hosts" in violation.problem) == has_some
    assert hosts_kept(DeployedVersions(()), draft) == []
    assert hosts_kept(DeployedVersions((replace(latest, pins=version_of(before, 4)),)), draft) == []


def test_a_version_that_refuses_the_served_chain_is_not_published() -> None:
    lost: dict[str, State] = {"b": "active", "c": "staged"}
    violation = check_step(known(lost), "publish")[0]
    assert (violation.invariant, violation.clients) == ("served-chain", 7)
    assert "version 2" in violation.problem
    assert SEEN[0].vantage in violation.problem


def test_the_end_of_a_release_is_no_date_from_which_it_is_safe_to_ship() -> None:
    """Its clients are locked out as long as they run it, whenever it is released."""
    lost: dict[str, State] = {"b": "active", "c": "staged"}
    draft = known(lost, release=AppRelease("app", "2", NOW, end=NOW + 200 * DAY))
    for violation in check_step(draft, "publish"):
        assert (violation.invariant, violation.safe_from) == ("served-chain", None)
    alive = replace(OUT, pins=pin_set(lost, 1))
    held = known(GOOD, versions=(alive, version(2, GOOD, ago=DAY)))
    assert only(check_now(held)).safe_from == NOW - DAY + TIMING.adopt


@pytest.mark.parametrize("seen", [sighting("b"), sighting("x", "b"), sighting("x", "y", "b")])
def test_a_pin_anywhere_in_the_verified_path_matches(seen: Any) -> None:
    lost: dict[str, State] = {"b": "active", "c": "staged"}
    assert "served-chain" not in names(check_step(known(lost, seen=(seen,)), "publish"))


def test_every_server_must_present_a_matching_chain() -> None:
    seen = (*SEEN, sighting("other", vantage="198.51.100.4:443"))
    violation = only(check_step(known(GOOD, seen=seen), "publish"))
    assert violation.problem.startswith("198.51.100.4:443")


def test_an_unverified_chain_is_refused_by_all_versions() -> None:
    violation = only(check_step(known(GOOD, seen=(unverified("a"),)), "publish"))
    assert (violation.invariant, violation.safe_from) == ("served-chain", None)
    assert "no chain that verifies" in violation.problem


def test_a_draft_whose_every_pin_is_served_has_no_backup() -> None:
    inside: dict[str, State] = {"a": "active", "ca": "active"}
    before = version(1, inside, ago=40 * DAY)
    assert names(check_step(known(inside, versions=(before,)), "publish")) == ["backup"]
    assert check_step(known(inside, versions=(before,), mode="report"), "publish") == ()


def test_a_root_set_of_which_every_root_is_served_is_its_own_backup() -> None:
    pins = root_set("x1", "x2", number=2)
    before = Version(root_set("x1", "x2"), fetched=NOW - 40 * DAY)
    served = (sighting("leaf", "x2", "x1"),)
    assert check_step(situation(pins, before, seen=served), "publish") == ()
    one_left = (pins.policies[0].pins[0], HostPin(pin("leaf")))
    lone = replace(pins, policies=(replace(pins.policies[0], pins=one_left),))
    assert "backup" in names(check_step(situation(lone, before, seen=served), "publish"))


def test_a_root_leaves_a_set_that_stays_its_own_backup() -> None:
    def removal(*roots: str) -> list[str]:
        states = root_set(*roots)
        gone = replace(states.policies[0].pins[0], state="retiring")
        changed = replace(states.policies[0], pins=(gone, *states.policies[0].pins[1:]))
        known = situation(
            replace(states, policies=(changed,)),
            Version(states, fetched=NOW - 40 * DAY),
            seen=(sighting("leaf", *roots[1:]),),
        )
        return names(check_step(known, "remove", pin(roots[0])))

    assert removal("x0", "x1", "x2") == []
    assert removal("x0", "x1") == ["last-backup"]


@pytest.mark.parametrize(
    ("left", "invariants"), [(TIMING.adopt, ["expiry"]), (TIMING.adopt + HOUR, [])]
)
def test_pins_must_not_expire_before_every_client_can_have_the_next_version(
    left: Any, invariants: list[str]
) -> None:
    assert names(check_step(known(GOOD, expires=NOW + left), "publish")) == invariants


@pytest.mark.parametrize(
    ("facts", "expires", "is_enough"),
    [
        ({}, NOW + 400 * DAY, True),
        ({}, None, True),
        ({}, NOW + 5 * DAY, False),
        ({"pending": True}, NOW + 400 * DAY, False),
        ({"fetched": None, "bundled": NOW}, NOW + 400 * DAY, False),
    ],
)
def test_no_later_expiry_is_asked_for_when_clients_can_fetch_it(
    facts: Any, expires: Any, is_enough: bool
) -> None:
    soon = replace(OUT, pins=pin_set(AB, expires=NOW + 5 * DAY))
    latest = replace(version(2, AB, ago=HOUR), pins=pin_set(AB, 2, expires=expires), **facts)
    (found, *_) = check_now(situation(latest.pins, soon, latest, seen=SEEN))
    assert (found.invariant, "the pins of version 1" in found.problem) == ("expiry", True)
    assert ("version 2 is out" in found.fix) == is_enough
    assert ("publish a version" in found.fix) == (not is_enough)


@pytest.mark.parametrize(
    ("facts", "left", "expected"),
    [
        ({}, 5 * DAY, "force users to update to it before 2027-03-06 12:00 UTC, and record"),
        ({}, -DAY, "force users to update to it, and record the date: certpin rotate shipped 2 "),
        ({"forced": NOW + 9 * DAY}, 5 * DAY, "force users to update to it before 2027-03-06"),
        ({"forced": NOW + DAY}, -DAY, "nothing more can be done: version 2 is out"),
        ({"expires": NOW + 5 * DAY}, 5 * DAY, "ship one with a later `expires`"),
        ({"app": "other"}, 5 * DAY, "ship one with a later `expires`"),
    ],
)
def test_an_app_that_has_later_pins_needs_a_forced_update(
    facts: dict[str, Any], left: Any, expected: str
) -> None:
    """Its older releases fetch nothing: only another release replaces their pins."""
    later = facts.pop("expires", NOW + 400 * DAY)
    old = AppRelease("app", "1", NOW - 90 * DAY)
    new = replace(AppRelease("app", "2.0 b", NOW - DAY), **facts)
    first = Version(pin_set(AB, expires=NOW + left), bundled=old.shipped, releases=(old,))
    latest = Version(pin_set(AB, 2, expires=later), bundled=new.shipped, releases=(new,))
    found, *_ = check_now(situation(latest.pins, first, latest, seen=SEEN))
    assert (found.invariant, "the pins of version 1" in found.problem) == ("expiry", True)
    assert expected in found.fix
    command = "certpin rotate shipped 2 --app app --release '2.0 b' --force-update DATE"
    assert found.fix.endswith(command) == expected.startswith("force")


@pytest.mark.parametrize("fields", [{"on_expiry": "fail-open"}, {"mode": "report"}])
def test_pins_whose_expiry_locks_no_client_out_may_expire_soon(fields: Any) -> None:
    assert check_step(known(GOOD, expires=NOW + HOUR, **fields), "publish") == ()


def test_a_compromised_key_is_neither_staged_nor_published() -> None:
    past = PinHistory(compromised=frozenset({pin("c")}))
    assert names(check_step(known(AB, past=past), "stage", pin("c"))) == ["compromised"]
    assert names(check_step(known(GOOD, past=past), "publish")) == ["compromised"]
    assert "compromised" in names(check_step(known(GOOD, past=past), "activate", pin("c")))


def test_a_key_that_the_pin_file_marks_compromised_is_not_used_again() -> None:
    """A person marked it, at this host or at another, and the journal doesn't have the theft."""
    marked = known({**GOOD, "c": "compromised"})
    for step in ("stage", "activate", "serve"):
        assert "compromised" in names(check_step(marked, step, pin("c")))
    other = HostPolicy(HostPattern.parse("other.example"), marked.policy.pins)
    here = known(GOOD)
    both = replace(here, pins=replace(here.pins, policies=(*here.pins.policies, other)))
    assert "compromised" in names(check_step(both, "activate", pin("c")))


@pytest.mark.parametrize(
    "fields",
    [{"states": {**GOOD, "c": "lost"}}, {"past": PinHistory(lost=frozenset({pin("c")}))}],
    ids=["in the file", "in the journal"],
)
def test_a_lost_key_is_neither_staged_nor_used(fields: Any) -> None:
    lost = known(**({"states": GOOD} | fields))
    assert "lost" in names(check_step(lost, "stage", pin("c")))
    assert "lost" in names(check_step(lost, "activate", pin("c")))
    assert "lost" in names(check_step(lost, "serve", pin("c")))


def test_a_lost_key_is_no_backup() -> None:
    lost: dict[str, State] = {"a": "active", "b": "lost"}
    violation = only(check_step(known(lost, 2), "publish"))
    assert violation.invariant == "backup"
    assert "only one pin is of a key that is not lost" in violation.problem
    assert "chain" not in violation.problem  # no server was contacted
    stolen: dict[str, State] = {"a": "lost", "b": "lost"}
    found = check_step(known(stolen, 2), "publish")
    assert "every pin is lost" in next(each.problem for each in found if each.invariant == "backup")
    assert check_step(known({**lost, "c": "staged"}, 2), "publish") == ()
    recorded = PinHistory(lost=frozenset({pin("b")}))
    assert names(check_step(known(AB, 2, past=recorded), "publish")) == ["backup"]


def test_a_lost_key_is_removed_and_is_not_the_last_backup() -> None:
    lost: dict[str, State] = {"a": "active", "b": "lost", "c": "published"}
    assert check_step(known(lost), "remove", pin("b")) == ()
    assert names(check_step(known(lost), "remove", pin("c"))) == ["last-backup"]


def test_a_version_with_a_lost_key_that_is_still_served_may_go_out() -> None:
    """A lost key differs from a compromised one: no attacker has it.

    Servers may present it until they restart.
    """
    lost: dict[str, State] = {"a": "lost", "b": "published", "c": "staged"}
    assert check_step(known(lost, 2), "publish") == ()


def test_an_active_key_is_not_dropped_by_editing_the_file() -> None:
    past = PinHistory(states={pin("b"): "active"})
    gone: dict[str, State] = {"a": "active", "b": "removed", "c": "staged"}
    violation, *others = check_step(known(gone, past=past), "publish")
    assert (violation.invariant, violation.clients) == ("active-pin", 7)
    assert [each.invariant for each in others] == ["last-backup"]
    assert check_step(known(gone, past=PinHistory(states={pin("b"): "removed"})), "publish") == ()
    mourned = gone | {"b": "compromised"}
    assert check_step(known(mourned, past=past), "publish") == ()  # a compromised key has to go


@pytest.mark.parametrize("names_it", [True, False], ids=["back in the file", "deleted"])
def test_a_key_that_the_journal_records_as_removed_is_not_used_again(names_it: bool) -> None:
    """An edit or a merge deleted its entry, or wrote another state into it."""
    past = PinHistory(states={pin("old"): "removed"})
    draft: dict[str, State] = {**AB, "old": "staged"} if names_it else AB
    out = version(1, {**AB, "old": "published"}, ago=40 * DAY)
    for step in ("activate", "serve"):
        refused = only(check_step(known(draft, past=past, versions=(out,)), step, pin("old")))
        assert (refused.invariant, "removed key" in refused.problem) == ("compromised", True)
        assert ('state = "removed"' in refused.fix) == names_it
    found = check_step(known(draft, past=past), "publish")
    assert names(found) == (["compromised"] if names_it else [])


def test_an_authority_that_was_removed_may_be_pinned_again() -> None:
    """Such as a root from which its provider issues again."""
    past = PinHistory(states={pin("ca"): "removed"})
    assert check_step(with_authority(past=past), "publish") == ()


def test_a_pin_is_not_dropped_if_the_served_keys_are_unknown() -> None:
    gone: dict[str, State] = {"a": "active", "b": "removed", "c": "staged"}
    assert names(check_step(known(gone, seen=()), "publish")) == ["unseen"]
    assert check_step(known(GOOD, seen=()), "publish") == ()


def test_a_pin_from_one_unverified_server_is_not_published() -> None:
    found = check_step(known(GOOD, seen=(*SEEN, unverified("c"))), "publish")
    assert "vantage" in names(found)
    assert (
        "only seen at 192.0.2.9:443" in next(b for b in found if b.invariant == "vantage").problem
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"seen": (*SEEN, unverified("c"), unverified("c", vantage="198.51.100.9:443"))},
        {"seen": (*SEEN, unverified("c")), "past": PinHistory(known=frozenset({pin("c")}))},
        {"seen": (*SEEN, unverified("c"), sighting("a", "c"))},
        {"seen": (*SEEN, unverified("b"))},
        {"seen": SEEN},
    ],
    ids=["two vantages", "its owner gave it", "a path that verified", "it is out", "unserved"],
)
def test_a_pin_with_another_source_is_published(fields: Any) -> None:
    assert "vantage" not in names(check_step(known(GOOD, **fields), "publish"))


def test_a_key_is_not_served_before_it_is_adopted() -> None:
    new = version(2, {**AB, "c": "published"}, ago=3 * DAY, clients=5000)
    violation = only(check_step(known(GOOD, versions=(OUT, new)), "activate", pin("c")))
    # The others of 5,000 clients have version 2 after three days.
    assert (violation.invariant, violation.clients) == ("adopted", 337)
    assert violation.safe_from == NOW - 3 * DAY + TIMING.adopt
    assert "version 1 does not accept it" in violation.problem
    assert check_step(known(GOOD, versions=(OUT, new)), "activate", pin("b")) == ()


CAB: dict[str, State] = {"c": "active", "a": "retiring", "b": "published"}
FORCED = (bundled(1, AB, ago=400 * DAY, clients=7), version(2, CAB, ago=40 * DAY))


def renewed(seen: tuple[Sighting, ...], *, states: dict[str, State] = CAB, **fields: Any) -> Any:
    """Return the rules that a new certificate for the key ``c`` breaks; version 1 refuses the key.

    Args:
        seen: the chains that servers present.
        states: the pins of the draft and their states.
        fields: other fields of the situation.
    """
    facts = known(states, 2, versions=FORCED, seen=seen, **fields)
    assert "adopted" in names(check_step(facts, "activate", pin("c")))
    return names(check_step(facts, "activate", pin("c"), renews=True))


def test_a_renewal_is_not_refused_for_clients_that_are_locked_out_already() -> None:
    """A step that was forced gave them up. The certificate would expire for all other clients."""
    served = replace(sighting("c", "ca", "root"), server=f"{HOST}:443")
    assert renewed((served,)) == []
    assert renewed((served, replace(served, vantage="us", server="us"))) == []


def test_a_renewal_is_refused_if_a_server_was_never_seen() -> None:
    """It may let in the clients that refuse the key. A file of ``--served`` is about no server."""
    of_file = sighting("c", "ca", "root")
    assert renewed((replace(of_file, server="us"),)) == ["adopted"], "the other was never seen"
    assert renewed((of_file,)) == ["adopted"]
    used = PinHistory(states={pin("c"): "active"})
    assert renewed((of_file,), past=used) == [], "the journal says that servers use the key"
    assert renewed((replace(of_file, server="us"),), past=used) == ["adopted"]


def test_a_renewal_is_refused_if_a_server_may_let_in_the_clients_that_refuse_it() -> None:
    served = replace(sighting("c", "ca", "root"), server=f"{HOST}:443")
    old = sighting("a", "ca", "root")
    last = ServerObservation(PATTERN, "us.bank.example:443", NOW - DAY, pin("a"))
    assert renewed(()) == ["adopted"], "no server was contacted"
    assert renewed((served, old)) == ["adopted"]
    used = PinHistory(states={pin("c"): "active"})
    unclear = renewed((unverified("c", "ca"),), past=used)
    assert unclear == ["adopted"], "a valid chain may let them in"
    assert renewed((served,), observed=(last,)) == ["adopted"], "this server did not answer"
    assert renewed((served,), observed=(replace(last, leaf=pin("c")),)) == []
    staged: dict[str, State] = {**CAB, "c": "published", "a": "active"}
    assert renewed((served,), states=staged) == ["adopted"], "servers may not use the key yet"


def test_a_renewal_is_refused_if_only_clients_with_a_slow_clock_are_locked_out() -> None:
    """Pins that have expired let in all others, which refuse a chain of a compromised authority."""
    marked = HostPin(pin("other"), "intermediate", "compromised")
    served = replace(sighting("c", "ca"), server=f"{HOST}:443")
    new = Prospect(chain("c").leaf, chain("other").certificates)

    def found(*pins: HostPin, expires: datetime | None) -> list[str]:
        old = HostPolicy(PATTERN, (*entries(AB), *pins), expires=expires, on_expiry="fail-open")
        pinned = Version(PinSet("bank", 1, (old,)), bundled=NOW - DAY)
        facts = known(CAB, versions=(pinned,), seen=(served,))
        return names(check_step(facts, "activate", pin("c"), (new,), renews=True))

    assert found(marked, expires=None) == [], "all are locked out already"
    assert found(marked, expires=NOW - HOUR) == ["adopted"]
    assert found(expires=NOW - HOUR) == []


def test_a_renewal_is_refused_for_clients_that_accept_a_served_chain() -> None:
    """The key is the same, and the new certificate is of another authority."""
    authorities = HostPin(pin("first"), "intermediate"), HostPin(pin("spare"), "intermediate")
    by_first = HostPolicy(PATTERN, authorities, match="ca")
    pinned = Version(PinSet("bank", 1, (by_first,)), bundled=NOW - DAY)
    other = Prospect(chain("c").leaf, chain("second").certificates)
    for above in (("first",), ("first", "second")):
        seen = tuple(replace(sighting("c", each), server=f"{HOST}:443") for each in above)
        facts = known(CAB, versions=(pinned,), seen=seen)
        assert check_step(facts, "activate", pin("c"), (other,), renews=True)


def test_a_refusal_says_why_the_pin_is_not_adopted() -> None:
    unknown = only(check_step(known(AB), "activate", pin("c")))
    assert f"certpin rotate start {pin('c')} puts it" in unknown.fix
    unpublished = only(check_step(known(GOOD), "activate", pin("c")))
    assert f"the pin file has {pin('c')}: give it to the clients" in unpublished.fix
    binary = bundled(1, AB, ago=40 * DAY)
    new = version(2, {**AB, "c": "published"}, ago=20 * DAY)
    waiting = only(check_step(known(GOOD, versions=(binary, new)), "activate", pin("c")))
    assert (waiting.safe_from, waiting.clients) == (None, None)
    assert "certpin rotate shipped 1 --ended" in waiting.fix
    nothing = only(check_step(known(GOOD, versions=()), "activate", pin("c")))
    assert "no published version is recorded" in nothing.problem


def test_the_fix_of_a_refused_chain_names_the_pin_that_start_takes() -> None:
    root = Authority("Root", now=NOW)
    issuer = root.intermediate("Issuer")
    leaf = issuer.issue("api.bank.example")
    sent = Prospect(
        leaf.certificate, (issuer.certificate,), sent=True, roots=(root.certificate.der,)
    )
    refused = only(check_step(known(AB), "activate", leaf.pin, [sent]))
    assert f"certpin rotate start {leaf.pin} puts it" in refused.fix
    pins = PinSet("bank", 1, (replace(known(AB).policy, match="ca"),))
    now = situation(replace(pins, version=2), replace(OUT, pins=pins))
    refused = only(check_step(now, "activate", leaf.pin, [sent]))
    assert f"certpin rotate start {issuer.pin} puts the authority" in refused.fix
    ends = replace(sent, authorities=(), roots=(issuer.certificate.der,))
    refused = only(check_step(now, "activate", leaf.pin, [ends]))
    assert "let a pinned authority certify the key" in refused.fix


def test_a_number_that_went_out_twice_needs_one_more_version() -> None:
    mine = version(2, {**AB, "c": "published"}, ago=90 * DAY)
    theirs = version(2, {**AB, "d": "published"}, ago=85 * DAY)
    old = version(1, AB, ago=99 * DAY, clients=7)
    draft = {**AB, "c": "published"}
    now = known(draft, 3, versions=(old, mine, theirs))
    refused = only(check_step(now, "activate", pin("c")))
    assert "version 2 went out with different pins: publish one more version" in refused.fix
    assert "--ended" not in refused.fix


def test_a_key_that_is_served_does_not_retire() -> None:
    violation = only(check_step(known(AB), "retire", pin("a")))
    assert (violation.invariant, violation.clients, violation.safe_from) == (
        "still-served",
        7,
        None,
    )
    assert names(check_step(known(AB, seen=()), "retire", pin("a"))) == ["unseen"]
    assert check_step(known(AB), "retire", pin("b")) == ()


def with_authority(**fields: Any) -> Situation:
    """Return a situation with the pins of the server ``a``, its issuer ``ca``, and backups."""
    states: dict[str, State] = {**AB, "c": "published", "ca": "active"}
    found = known(states, **fields)
    pins = tuple(
        replace(entry, role="intermediate") if entry.pin == pin("ca") else entry
        for entry in found.policy.pins
    )
    policy = replace(found.policy, pins=pins)
    return replace(found, pins=replace(found.pins, policies=(policy,)))


def test_a_served_authority_retires_if_clients_accept_the_servers_without_it() -> None:
    drop = pin("ca")
    assert check_step(with_authority(), "retire", drop) == ()
    others = (*SEEN, sighting("new", "ca", "root", vantage="192.0.2.8:443"))
    violation = only(check_step(with_authority(seen=others), "retire", drop))
    assert violation.invariant == "still-served"
    assert "served by 192.0.2.8:443: a client without it would be locked out" in violation.problem


@pytest.mark.parametrize(
    "fields",
    [
        {"mode": "report"},
        {"expires": NOW - DAY, "on_expiry": "fail-open"},
        {"past": PinHistory(compromised=frozenset({pin("ca")}))},
    ],
    ids=["report", "expired", "stolen"],
)
def test_a_served_authority_that_the_next_version_needs_does_not_retire(fields: Any) -> None:
    seen = (sighting("a" if "past" in fields else "new", "ca", "root"),)
    found = check_step(with_authority(seen=seen, **fields), "retire", pin("ca"))
    assert "still-served" in names(found)


def test_one_of_two_pins_of_a_served_path_does_not_retire() -> None:
    """The pin file would be invalid."""
    draft = known({"a": "active", "ca": "active"})
    assert "still-served" in names(check_step(draft, "retire", pin("ca")))


def test_the_key_of_a_server_does_not_retire_although_its_authority_is_pinned() -> None:
    violation = only(check_step(with_authority(), "retire", pin("a")))
    assert violation.problem.endswith("192.0.2.7:443: a removed key is not used again")


def test_the_fix_for_an_active_pin_that_an_edit_took_out_puts_it_back() -> None:
    past = PinHistory(states={pin("b"): "active"})
    deleted: dict[str, State] = {"a": "active", "c": "staged"}
    for states, back in (
        (deleted, "put its entry back into the pin file (git checkout)"),
        ({**deleted, "b": "removed"}, 'give its entry state = "active" again'),
    ):
        violation, *_ = check_step(known(states, past=past), "publish")
        assert violation.fix.startswith(f"{back}. certpin rotate finish {pin('b')} takes it out")


def test_a_version_with_another_pattern_for_the_host_counts() -> None:
    """The draft covers the host by a wildcard; the version that clients have names the host."""
    wild, exact = "*.bank.example", "api.bank.example"
    late = kit.policy(exact, pin("a"), pin("b"), on_expiry="fail-closed", expires=NOW + DAY)
    held = Version(PinSet("bank", 1, (late,)), fetched=NOW - 40 * DAY)
    draft = PinSet("bank", 2, (kit.policy(wild, pin("c"), pin("d")),))
    deployed = DeployedVersions((held,))
    found = Situation(draft, HostPattern.parse(wild), deployed, (), TIMING, NOW)
    assert names(check_now(found)) == ["expiry"]
    assert dropped_pins(found) == (pin("a"), pin("b"))


@pytest.mark.parametrize("step", ["retire", "remove"])
@pytest.mark.parametrize("others", [(), (sighting("b"),)])
def test_a_server_without_a_verified_chain_may_use_the_key(step: Any, others: Any) -> None:
    seen = (*others, unverified("a"))
    found = check_step(known(AB, seen=seen), step, pin("a"))
    assert "unseen" in names(found)
    (unseen,) = [each for each in found if each.invariant == "unseen"]
    assert "192.0.2.9:443 doesn't verify" in unseen.problem


def test_a_served_compromised_key_blocks_publishing_although_its_authority_is_pinned() -> None:
    hurt: dict[str, State] = {"ca": "active", "b": "published", "leaf": "compromised"}
    seen = (sighting("leaf", "ca"),)
    draft = pin_set(hurt, 2)
    before = version(1, {"ca": "active", "b": "published"}, ago=90 * DAY)
    found = check_step(situation(draft, before, seen=seen), "publish")
    assert "served-chain" in names(found)
    removed = pin_set({**hurt, "leaf": "removed"}, 2)
    assert "served-chain" not in names(check_step(situation(removed, before, seen=seen), "publish"))


def test_an_active_or_served_key_is_not_removed() -> None:
    assert names(check_step(known(AB), "remove", pin("a"))) == ["active-pin", "still-served"]


def test_the_last_pin_outside_the_served_chain_is_not_removed() -> None:
    assert names(check_step(known(AB), "remove", pin("b"))) == ["last-backup"]
    assert check_step(known(AB, mode="report"), "remove", pin("b")) == ()


def test_a_backup_that_every_client_accepts_is_not_removed_before_another_one() -> None:
    """If the key in use is stolen, servers need a backup that no client refuses."""
    with_c: dict[str, State] = {**AB, "c": "published"}
    young = known(with_c, 3, versions=(OUT, version(2, with_c, ago=DAY)))
    found = only(check_step(young, "remove", pin("b")))
    assert found.invariant == "last-backup"
    assert found.safe_from == NOW - DAY + TIMING.adopt
    assert found.fix == f"wait until every client accepts {pin('c')}"
    assert check_step(young, "remove", pin("c")) == ()
    unpublished = only(check_step(known(GOOD), "remove", pin("b")))
    assert (unpublished.invariant, unpublished.safe_from) == ("last-backup", None)
    assert unpublished.fix.startswith(f"publish the next version, which has {pin('c')}, and wait")
    old = known(with_c, 3, versions=(OUT, version(2, with_c, ago=40 * DAY)))
    assert check_step(old, "remove", pin("b")) == ()
    lost = known({**with_c, "b": "lost"}, 3, versions=(OUT, version(2, with_c, ago=DAY)))
    assert check_step(lost, "remove", pin("b")) == ()


def test_a_backup_that_no_client_accepts_yet_waits_for_no_other_one() -> None:
    states: dict[str, State] = {"a": "active", "c": "published", "d": "staged"}
    young = (version(1, {"a": "active", "b": "published"}, ago=40 * DAY),)
    versions = (*young, version(2, {"a": "active", "c": "published"}, ago=DAY))
    assert check_step(known(states, 3, versions=versions), "remove", pin("c")) == ()


def test_if_every_recorded_release_has_ended_no_wait_helps() -> None:
    old = replace(OUT, fetched=None, bundled=NOW - 40 * DAY, ended=NOW - DAY)
    found = only(check_step(known(AB, versions=(old,)), "activate", pin("b")))
    assert (found.invariant, found.safe_from) == ("adopted", None)
    assert found.fix.startswith(
        "record the version that clients have now: certpin rotate shipped 2"
    )


def test_the_date_is_that_of_the_first_other_backup() -> None:
    states: dict[str, State] = {**AB, "c": "published", "d": "published"}
    second = version(2, {**AB, "c": "published"}, ago=3 * DAY)
    found = only(
        check_step(
            known(states, 4, versions=(OUT, second, version(3, states, ago=DAY))),
            "remove",
            pin("b"),
        )
    )
    assert found.safe_from == NOW - 3 * DAY + TIMING.adopt


def test_a_backup_that_an_edit_deletes_is_kept_like_one_that_finish_removes() -> None:
    with_c: dict[str, State] = {**AB, "c": "published"}
    versions = (OUT, version(2, with_c, ago=DAY))
    edited: dict[str, State] = {"a": "active", "c": "published"}
    found = check_step(known(edited, 3, versions=versions), "publish")
    assert names(found) == ["last-backup"]
    by_hand: dict[str, State] = {**with_c, "b": "removed"}
    assert names(check_step(known(by_hand, 3, versions=versions), "publish")) == ["last-backup"]
    past = PinHistory(states={pin("b"): "removed"})  # `rotate finish` has checked it
    assert check_step(known(by_hand, 3, versions=versions, past=past), "publish") == ()


def test_the_fix_puts_a_backup_back_that_an_edit_has_deleted() -> None:
    """To publish the draft as it is would be refused again."""
    with_c: dict[str, State] = {**AB, "c": "staged"}
    deleted: dict[str, State] = {"a": "active", "c": "staged"}
    for edited in (deleted, {**with_c, "b": "removed"}):
        found = only(check_step(known(edited, 2, versions=(OUT,)), "publish"))
        assert found.invariant == "last-backup"
        back, _, then = found.fix.partition("; ")
        assert back == "put its entry back into the pin file (git checkout)"
        assert then.startswith(f"then publish the next version, which has {pin('c')}, and wait")
    assert check_step(known(with_c, 2, versions=(OUT,)), "publish") == ()


def test_a_version_with_the_pin_is_not_published_again_because_of_a_stolen_backup() -> None:
    """If only the stolen pin is known, it can be an authority's, and clients refuse its chains."""
    states: dict[str, State] = {"a": "active", "b": "compromised", "c": "published"}
    old = version(1, AB, ago=DAY)
    newest = version(2, {**states, "d": "published"}, ago=HOUR)
    past = PinHistory(compromised=frozenset({pin("b")}))

    def fix(*versions: Version) -> str:
        draft: dict[str, State] = {**states, "d": "published"}
        facts = known(draft, 2, versions=versions, past=past)
        return only(check_step(facts, "activate", pin("c"))).fix

    assert fix(old, newest) == "wait; then name the file of the chain"
    binary = replace(old, fetched=None, bundled=NOW - DAY)
    assert "certpin rotate shipped 1 --ended" in fix(binary, newest)
    assert fix(old).startswith(f"the pin file has {pin('c')}: give it to the clients")


def test_the_key_that_a_rotation_replaced_waits_for_the_next_backup() -> None:
    """Until then, it is the only key to which servers can go back at once if b is stolen."""
    states: dict[str, State] = {"a": "retiring", "b": "active", "c": "published"}
    versions = (OUT, version(2, states, ago=DAY))
    seen = (sighting("b", "ca", "root"),)
    young = known(states, 3, versions=versions, seen=seen)
    found = only(check_step(young, "remove", pin("a")))
    assert (found.invariant, found.safe_from) == ("last-backup", NOW - DAY + TIMING.adopt)
    assert check_step(young, "retire", pin("a")) == ()
    old = (OUT, version(2, states, ago=40 * DAY))
    assert check_step(known(states, 3, versions=old, seen=seen), "remove", pin("a")) == ()
    past = PinHistory(compromised=frozenset({pin("a")}))
    stolen = known(states, 3, versions=versions, seen=seen, past=past)
    assert check_step(stolen, "remove", pin("a")) == ()
    by_hand = known({"b": "active", "c": "published"}, 3, versions=versions, seen=seen, past=past)
    assert "last-backup" not in names(check_step(by_hand, "publish"))


def test_the_wait_for_a_backup_may_end_with_the_record_of_an_app() -> None:
    """Version 1 is in a binary that never ends by itself."""
    states: dict[str, State] = {"a": "retiring", "b": "active", "c": "published"}
    binary = replace(OUT, fetched=None, bundled=NOW - 40 * DAY)
    versions = (binary, version(2, states, ago=DAY))
    seen = (sighting("b", "ca", "root"),)
    found = only(check_step(known(states, 3, versions=versions, seen=seen), "remove", pin("a")))
    assert (found.invariant, found.safe_from) == ("last-backup", None)
    assert "certpin rotate shipped 1 --ended" in found.fix


def test_the_way_back_from_a_lock_out_stays_in_the_draft() -> None:
    """Version 1 refuses the served c. A draft without a, or without b, would end the way back."""
    states: dict[str, State] = {"a": "retiring", "b": "published", "c": "active", "d": "published"}
    versions = (OUT, version(2, states, ago=DAY))
    seen = (sighting("c", "ca", "root"),)
    locked_out = known(states, 3, versions=versions, seen=seen)
    refused = only(check_step(locked_out, "remove", pin("a")))
    assert refused.invariant == "served-chain"
    assert "shipped" not in refused.fix, "version 1 ends by itself"
    assert check_step(locked_out, "remove", pin("d")) == (), "version 1 refuses it, too"
    edited: dict[str, State] = {"c": "active", "d": "published"}
    published = check_step(known(edited, 3, versions=versions, seen=seen), "publish")
    assert [each.problem.rpartition(": ")[2] for each in published] == [
        *["servers may have to go back to it"] * 2,
        *["servers need it if their key is stolen"] * 2,
    ]
    binary = replace(OUT, fetched=None, bundled=NOW - 40 * DAY)
    endless = known(states, 3, versions=(binary, versions[1]), seen=seen)
    assert "certpin rotate shipped 1 --ended" in only(check_step(endless, "remove", pin("a"))).fix
    gone = frozenset({pin("a")})
    for past in (PinHistory(lost=gone), PinHistory(compromised=gone)):
        stolen = known(states, 3, versions=versions, seen=seen, past=past)
        assert "served-chain" not in names(check_step(stolen, "remove", pin("a")))


def test_an_unused_retiring_key_is_removed() -> None:
    after: dict[str, State] = {"a": "retiring", "b": "active", "c": "published"}
    versions = (version(1, after, ago=40 * DAY),)
    assert (
        check_step(known(after, versions=versions, seen=(sighting("b"),)), "remove", pin("a")) == ()
    )


def test_current_violations_are_found_before_any_step() -> None:
    assert check_now(known(AB)) == ()
    new = version(2, {"b": "active", "c": "staged"}, ago=3 * DAY, clients=5000)
    locked = only(check_now(known(AB, versions=(OUT, new), seen=(sighting("b"), sighting("c")))))
    assert (locked.invariant, locked.clients) == ("served-chain", 337)
    assert locked.safe_from == NOW - 3 * DAY + TIMING.adopt


@pytest.mark.parametrize(("left", "broken"), [(5 * DAY, True), (8 * DAY, False)])
def test_an_old_version_may_expire_when_no_client_holds_it(left: Any, broken: bool) -> None:
    ending = replace(OUT, pins=pin_set(AB, expires=NOW + left))
    new = version(2, AB, ago=3 * DAY)
    found = check_now(known(AB, 3, versions=(ending, new)))
    assert names(found) == (["expiry"] if broken else [])
    if broken:
        assert found[0].clients == 1  # of 7: those who still hold it when its pins expire


def test_a_violation_names_the_clients_at_risk() -> None:
    words = [Violation("backup", "p", number).at_risk for number in (None, 1, 1200)]
    assert words == ["an unknown number of clients", "1 client", "1200 clients"]
    with pytest.raises(TypeError):
        bool(Violation("backup", "p", 0))


def test_dates_round_up_because_an_earlier_time_may_be_unsafe() -> None:
    assert in_utc(NOW) == "2027-03-01 12:00 UTC"
    assert in_utc(NOW.replace(second=1)) == "2027-03-01 12:01 UTC"
    assert in_utc(NOW.replace(second=59), down=True) == "2027-03-01 12:00 UTC"
