"""How clients get another root, if the only root that they trust is stolen or lost."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from certpin.errors import ConfigError
from certpin.lab import Authority
from certpin.pins import HostPin, PinSet, pins_of
from certpin.rotation import PinHistory, Version
from certpin.rotation.emergency import emergency_path
from certpin.rotation.new_root import marks_root_later, root_change
from certpin.rotation.trust import versions_below
from tests import kit
from tests.rotation._roots import ISSUER, NEW, NOW, OLD, TRUSTS, facts, sent_with
from tests.rotation._situations import DAY, HOST, TIMING
from tests.x509._authorities import valid

if TYPE_CHECKING:
    from collections.abc import Callable

    from certpin.pins import HostPolicy, TrustAnchors
    from certpin.rotation import Situation
    from certpin.rotation.emergency import EmergencyPath, Fact

SERVED = sent_with(identity=OLD.issue(HOST, key=sent_with().key))
STOLEN = PinHistory(compromised=frozenset({OLD.pin}))


def stolen(draft: str, *trusts: str, **fields: Any) -> Situation:
    """Return the facts about a host below the root OLD, which is stolen.

    Args:
        draft: the anchors that the draft trusts: a key of ``TRUSTS``.
        trusts: those of versions 1, 2 and so on.
        fields: other fields of ``Situation``.
    """
    versions = [TRUSTS[each] for each in trusts]
    known: dict[str, Any] = {"past": STOLEN} | fields
    return facts(SERVED, TRUSTS[draft], *versions, **known)


def path(known: Situation) -> EmergencyPath:
    return emergency_path(known, OLD.pin, "stolen")


def acts(found: EmergencyPath) -> list[str]:
    return [step.act for step in found.steps]


def changed(known: Situation, change: Callable[[HostPolicy], HostPolicy]) -> Situation:
    """Return the facts with the policy changed in the draft and in each version."""

    def in_set(pins: PinSet) -> PinSet:
        return replace(pins, policies=tuple(map(change, pins.policies)))

    versions = [replace(each, pins=in_set(each.pins)) for each in known.deployed.versions]
    deployed = replace(known.deployed, versions=tuple(versions))
    return replace(known, pins=in_set(known.pins), deployed=deployed)


AFTER_SWITCH = ["mark", "publish", "revoke"]
SWITCH = ["request", "switch", "install"]


@pytest.mark.parametrize(("draft", "first"), [("old", ["trust", "publish"]), ("both", ["publish"])])
def test_clients_get_another_root_before_servers_leave_the_stolen_one(
    draft: str, first: list[str]
) -> None:
    found = path(stolen(draft, "old"))
    assert acts(found) == [*first, *SWITCH, *AFTER_SWITCH]
    switch = found.steps[acts(found).index("switch")]
    assert (switch.not_before, switch.forced, switch.chain) == (NOW + TIMING.adopt, False, True)
    assert (found.is_safe, found.exposure and found.exposure.stages) == (True, ())
    request = found.steps[acts(found).index("request")]
    assert request.anchors == (("CN=New",) if draft == "both" else ())


def test_a_version_that_has_the_other_root_already_only_needs_time() -> None:
    known = stolen("both", "old", "both")
    found = path(known)
    assert acts(found) == [*SWITCH, *AFTER_SWITCH]
    assert found.steps[1].not_before == NOW - DAY + TIMING.adopt
    # When all clients have it, the draft marks the root, and the gate decides as for any authority.
    later = replace(known, now=NOW - DAY + TIMING.adopt)
    assert marks_root_later(known, OLD.pin)
    assert not marks_root_later(later, OLD.pin)
    assert acts(path(later))[:3] == SWITCH
    assert path(later).is_safe


def test_a_version_in_a_binary_has_to_end_first() -> None:
    known = stolen("old", "old")
    [version] = known.deployed.versions
    bundled = replace(version, fetched=None, bundled=version.fetched)
    known = replace(known, deployed=replace(known.deployed, versions=(bundled,)))
    found = path(known)
    assert acts(found) == ["trust", "publish", "end", *SWITCH, *AFTER_SWITCH]
    assert (found.steps[2].version, found.is_safe) == (1, True)


def _with_authority(policy: HostPolicy) -> HostPolicy:
    pins = (*policy.pins, HostPin(OLD.pin, "root", "published"))
    return replace(policy, pins=pins)


UNSAFE: dict[str, Callable[[HostPolicy], HostPolicy]] = {
    "the root itself is pinned": _with_authority,
    "another authority is pinned": lambda policy: replace(
        policy, pins=(*policy.pins, HostPin(NEW.pin, "intermediate"))
    ),
    "clients compare authorities": lambda policy: replace(policy, match="ca"),
    "clients only report": lambda policy: replace(policy, mode="report"),
    "the pins end before": lambda policy: replace(policy, expires=NOW + DAY, on_expiry="fail-open"),
}


@pytest.mark.parametrize("case", UNSAFE)
def test_there_is_no_time_if_clients_may_accept_an_attacker(case: str) -> None:
    """Then the draft marks the stolen root at once, and the harm is stated as before."""
    known = changed(stolen("old", "old"), UNSAFE[case])
    assert root_change(known, frozenset()) is None
    assert not marks_root_later(known, OLD.pin)
    found = path(known)
    assert (found.is_safe, "mark" in acts(found)) == (False, False)


@pytest.mark.parametrize("versions", [("old",), ("old", "both")])
@pytest.mark.parametrize("case", ["clients only report", "the pins end before"])
def test_a_draft_that_would_let_an_attacker_in_is_to_be_changed_first(
    case: str, versions: tuple[str, ...]
) -> None:
    """The mark waits: with it, clients would be locked out. But the draft must not go out."""
    known = stolen("both", *versions)
    [policy] = known.pins.policies
    known = replace(known, pins=replace(known.pins, policies=(UNSAFE[case](policy),)))
    assert marks_root_later(known, OLD.pin)
    with pytest.raises(ConfigError, match="would let an attacker with the stolen root in") as info:
        path(known)
    assert "on_expiry" in info.value.fix
    assert marks_root_later(stolen("both", *versions), OLD.pin)
    assert path(stolen("both", *versions)).is_safe


def test_a_draft_that_pins_the_stolen_root_leaves_no_time() -> None:
    """It is marked at once, whether or not a version has the pin."""
    known = stolen("both", "old")
    [policy] = known.pins.policies
    known = replace(known, pins=replace(known.pins, policies=(_with_authority(policy),)))
    assert root_change(known, frozenset()) is None


def test_two_contents_with_one_number_are_judged_each_by_its_own_anchors() -> None:
    """Two people recorded a version under the same number."""
    for trusts in (("old", "both"), ("both", "old")):
        known = stolen("both", *trusts)
        versions = [
            replace(each, pins=replace(each.pins, version=1)) for each in known.deployed.versions
        ]
        known = replace(known, deployed=replace(known.deployed, versions=tuple(versions)))
        assert [each.pins for each in versions_below(known, {OLD.pin})] == [
            each.pins for each, trust in zip(versions, trusts, strict=True) if trust == "old"
        ]


def test_there_is_no_time_if_the_key_of_the_server_is_stolen_too() -> None:
    both = PinHistory(compromised=frozenset({OLD.pin, SERVED.pin}))
    found = path(stolen("old", "old", past=both))
    assert (found.is_safe, "mark" in acts(found)) == (False, False)
    assert found.others == (SERVED.pin,)


def test_pins_that_end_later_or_refuse_after_their_end_leave_time() -> None:
    fields: tuple[dict[str, Any], ...] = (
        {"expires": NOW + 99 * DAY, "on_expiry": "fail-open"},
        {"expires": NOW + DAY, "on_expiry": "fail-closed"},
    )
    for each in fields:
        known = changed(stolen("old", "old"), partial(replace, **each))
        assert root_change(known, frozenset()) is not None


def test_a_draft_that_marks_the_root_or_drops_it_is_not_published_first() -> None:
    """The next version would refuse the chain that servers present."""
    marked = HostPin(OLD.pin, "intermediate", "compromised")
    known = stolen("both", "old")
    draft = replace(known.policy, pins=(*known.policy.pins, marked))
    known = replace(known, pins=replace(known.pins, policies=(draft,)))
    for each in (known, stolen("new", "old")):
        assert root_change(each, frozenset()) is None
        assert not path(each).is_safe


def test_a_root_that_is_not_pinned_may_be_in_a_chain_that_was_not_seen() -> None:
    known = changed(stolen("old", "old", sightings=()), lambda each: replace(each, match="leaf"))
    found = path(known)
    assert (found.in_use, acts(found)[0]) == (True, "trust")
    assert not emergency_path(known, NEW.pin, "stolen").in_use


def test_a_change_of_the_draft_goes_out_before_the_wait() -> None:
    """A stolen backup is not accepted for another T_adopt because a root is being replaced."""
    known = stolen("both", "old", "both")
    backup = known.policy.pins[1].pin
    both = PinHistory(compromised=frozenset({OLD.pin, backup}))
    found = emergency_path(replace(known, past=both), backup, "stolen")
    assert acts(found) == ["publish", *SWITCH, *AFTER_SWITCH]
    assert found.exposure is not None
    assert found.exposure.until == NOW + TIMING.adopt


def test_a_signed_version_that_was_not_pushed_has_no_date_yet() -> None:
    known = stolen("both", "old")
    newest = Version(replace(known.pins, version=2), fetched=NOW, pending=True)
    versions = (*known.deployed.versions, newest)
    known = replace(known, deployed=replace(known.deployed, versions=versions))
    change = root_change(known, frozenset())
    assert change is not None
    assert (change.publish, change.add, change.date) == (True, False, NOW + TIMING.adopt)


def test_an_expired_root_beside_the_stolen_one_does_not_count() -> None:
    expired = Authority("Expired", change=valid(-99, -1))
    known = facts(SERVED, kit.anchors(OLD, expired), TRUSTS["old"], past=STOLEN)
    change = root_change(known, frozenset())
    assert change is not None
    assert change.add


EXPIRED = Authority("Expired", change=valid(-99, -1))


WITH_EXPIRED = kit.anchors(OLD, EXPIRED)


@pytest.mark.parametrize("past", [STOLEN, PinHistory(lost=frozenset({OLD.pin}))])
@pytest.mark.parametrize(
    ("draft", "trust", "first"),
    [
        (WITH_EXPIRED, WITH_EXPIRED, ["trust", "publish"]),
        (TRUSTS["both"], WITH_EXPIRED, ["publish"]),
    ],
)
def test_clients_with_an_invalid_root_beside_the_gone_one_need_another_root(
    draft: TrustAnchors, trust: TrustAnchors, first: list[str], past: PinHistory
) -> None:
    fact: Fact = "lost" if past.lost else "stolen"
    known = facts(SERVED, draft, trust, past=past)
    found = emergency_path(known, OLD.pin, fact)
    assert (found.is_safe, found.root_first) == (True, True)
    assert acts(found)[: len(first)] == first
    assert marks_root_later(known, OLD.pin) == (fact == "stolen")


def test_versions_without_the_stolen_root_are_not_below_it() -> None:
    """They trust the platform's roots, or only an expired one: no version of them is waited for."""
    for trust in (None, kit.anchors(EXPIRED), TRUSTS["both"], TRUSTS["intermediate"]):
        assert versions_below(facts(SERVED, trust, trust, past=STOLEN), STOLEN.compromised) == []
    known = facts(SERVED, TRUSTS["both"], TRUSTS["both"], TRUSTS["old"], past=STOLEN)
    assert [each.number for each in versions_below(known, STOLEN.compromised)] == [2]


def test_a_mark_that_went_out_is_not_put_off() -> None:
    def marked(policy: HostPolicy) -> HostPolicy:
        mark = HostPin(OLD.pin, "intermediate", "compromised")
        return replace(policy, pins=(*policy.pins, mark))

    known = stolen("both", "old", "both", sightings=())
    *others, last = known.deployed.versions
    out = replace(last, pins=replace(last.pins, policies=tuple(map(marked, last.pins.policies))))
    deployed = replace(known.deployed, versions=(*others, out))
    assert marks_root_later(known, OLD.pin)
    assert not marks_root_later(replace(known, deployed=deployed), OLD.pin)


def test_a_root_that_is_stolen_by_its_certificate_is_marked_later_too() -> None:
    certificate = pins_of(OLD.certificate)[1]
    by_certificate = PinHistory(compromised=frozenset({certificate}))
    known = stolen("both", "old", "both", past=by_certificate)
    change = root_change(known, frozenset())
    assert change is not None
    assert change.stolen == (OLD.pin,)
    assert marks_root_later(known, certificate)


# The root is lost: no authority that clients trust can issue the next certificate.

LOST = PinHistory(lost=frozenset({OLD.pin}))


def test_clients_get_another_root_before_the_chain_of_a_lost_one_ends() -> None:
    known = stolen("old", "old", past=LOST)
    found = emergency_path(known, OLD.pin, "lost")
    assert acts(found) == ["trust", "publish", *SWITCH]
    assert (found.is_safe, found.root_first, found.authority) == (True, True, True)
    assert found.steps[3].not_before == NOW + TIMING.adopt
    assert found.chain_end == SERVED.chain[0].not_valid_after_utc
    out = emergency_path(stolen("both", "old", "both", past=LOST), OLD.pin, "lost")
    assert acts(out) == SWITCH
    assert out.steps[0].anchors == ("CN=New",)
    later = replace(known, pins=stolen("both", "old", past=LOST).pins, now=NOW)
    assert acts(emergency_path(later, OLD.pin, "lost"))[0] == "publish"


def test_a_lost_root_needs_no_pins_that_refuse_an_attacker() -> None:
    """The pins of an authority, or those that only report, are no reason for haste."""
    for case in ("another authority is pinned", "clients only report", "the pins end before"):
        known = changed(stolen("old", "old", past=LOST), UNSAFE[case])
        assert root_change(known, frozenset()) is not None


def test_a_chain_that_expires_before_clients_have_another_root_is_a_lock_out() -> None:
    leaf = OLD.issue(HOST, key=SERVED.key, days=5)
    known = facts(leaf, TRUSTS["old"], TRUSTS["old"], past=LOST)
    found = emergency_path(known, OLD.pin, "lost")
    assert found.harm is not None
    assert (found.harm.invariant, found.harm.clients) == ("certificate", 900)
    assert not any(step.forced for step in found.steps)
    # The owner of a stolen root can renew the certificate.
    assert path(facts(leaf, TRUSTS["old"], TRUSTS["old"], past=STOLEN)).is_safe


def test_a_lost_authority_in_a_chain_is_left_for_another_one() -> None:
    """Below the same root: nothing has to be published, and then nothing is left to do."""
    issuer = NEW.intermediate("Other issuer")
    past = PinHistory(lost=frozenset({ISSUER.pin}))
    for identity, expected in (
        (sent_with(ISSUER), SWITCH),
        (issuer.issue(HOST, key=SERVED.key), []),
    ):
        known = facts(identity, TRUSTS["new"], TRUSTS["new"], past=past)
        found = emergency_path(known, ISSUER.pin, "lost")
        assert (acts(found), found.is_safe) == (expected, True)
        assert bool(found.chain_end) == bool(expected)
        assert all(step.chain for step in found.steps if step.act == "switch")
        # The path of another key replaces the chain, too, and names its file.
        other = emergency_path(known, kit.NOBODY_ELSE, "lost")
        assert all(step.chain for step in other.steps if step.act == "switch")


def test_a_pinned_authority_below_a_lost_one_is_not_the_way_out() -> None:
    other = Authority("Next")

    def pins(policy: HostPolicy) -> HostPolicy:
        pinned = (HostPin(ISSUER.pin, "intermediate", "active"), HostPin(other.pin, "backup"))
        return replace(policy, match="ca", pins=pinned, trust=kit.anchors(NEW, other))

    known = facts(
        sent_with(ISSUER), TRUSTS["new"], TRUSTS["new"], past=PinHistory(lost=frozenset({NEW.pin}))
    )
    found = emergency_path(changed(known, pins), NEW.pin, "lost")
    assert [step.pin for step in found.steps if step.act == "switch"] == [other.pin]
