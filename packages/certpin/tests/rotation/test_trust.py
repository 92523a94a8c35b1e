"""The path that the clients of each version verify in the chain that a server presents.

It is compared with the handshake of a real client: ``PinnedSSLContext``, with OpenSSL.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from certpin.lab import Authority
from certpin.pins import HostPin, TrustAnchors
from certpin.rotation import (
    DeployedVersions,
    PinHistory,
    Situation,
    Step,
    Version,
    check_now,
)
from certpin.rotation.emergency import EmergencyPath, emergency_path
from certpin.rotation.fleet import clients_at_risk
from certpin.rotation.gate import check_step
from certpin.rotation.next_step import next_step
from certpin.rotation.rules import served_chain
from certpin.rotation.simulate_script import (
    DatedStep,
    assumed_chains,
    build_script,
    fetched_releases,
)
from certpin.rotation.trust import (
    anchors_to_name,
    chain_of_sighting,
    has_common_trust,
    issuers_to_name,
    with_common_trust,
)
from certpin.x509.chain import public_roots
from tests import kit
from tests.rotation._roots import (
    CROSSED,
    IDENTITY,
    ISSUER,
    NEW,
    NOW,
    OLD,
    TRUSTS,
    facts,
    path_of_client,
    policy_with,
    sent_with,
)
from tests.rotation._situations import DAY, HOST, TIMING
from tests.tls._handshakes import trust_on_this_platform
from tests.x509._authorities import valid

if TYPE_CHECKING:
    from pathlib import Path

    from certpin.pins import Mode, PinSet
    from certpin.rotation.violation import Violation

SENT = {
    "leaf only": sent_with(),
    "intermediate": sent_with(ISSUER),
    "cross-signed": sent_with(ISSUER, CROSSED),
    "with root": sent_with(ISSUER, NEW),
    "of the old root": OLD.issue(HOST, key=IDENTITY.key),
    "expired": ISSUER.issue(HOST, key=IDENTITY.key, days=-0.01),
    "of another host": ISSUER.issue("other.example", key=IDENTITY.key),
    "expired intermediate": sent_with(
        Authority("Issuer", issuer=NEW, key=ISSUER.key, change=valid(-99, -1))
    ),
}


@pytest.mark.parametrize("trust", TRUSTS)
@pytest.mark.parametrize("sent", SENT)
def test_the_path_is_that_of_a_real_client(sent: str, trust: str) -> None:
    """Whatever the draft trusts, which verified the probe: the clients have their own anchors."""
    identity, policy = SENT[sent], policy_with(TRUSTS[trust])
    expected = path_of_client(identity, policy)
    for draft in TRUSTS.values():
        known = facts(identity, draft, TRUSTS[trust])
        assert chain_of_sighting(known, known.sightings[0], policy) == expected
        assert bool(check_now(known)) == (expected is None)
        step = next_step(known, {}, differs=False)
        assert (step.act == "repair") == (expected is None)
        (release,) = fetched_releases(known)
        assert release.refuses(assumed_chains(known), 0) == (expected is None)


def test_clients_of_the_platform_trust_its_roots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust_on_this_platform(tmp_path, monkeypatch, NEW)
    for identity in SENT.values():
        expected = path_of_client(identity, policy_with(None))
        known = facts(identity, TRUSTS["old"], None, roots=public_roots())
        assert chain_of_sighting(known, known.sightings[0], policy_with(None)) == expected


def test_without_the_roots_of_the_platform_the_draft_decides() -> None:
    known = facts(IDENTITY, TRUSTS["new"], None)
    assert check_now(known) == ()
    assert check_now(replace(known, roots=TRUSTS["old"].der)) != ()


def test_a_name_that_was_not_verified_is_verified() -> None:
    """OpenSSL reports that the draft lacks the root, and not that the name is wrong, too."""
    known = facts(IDENTITY, TRUSTS["old"], TRUSTS["new"])
    (seen,) = known.sightings
    assert (seen.chain, check_now(known)) == (None, ())
    for host in ("other.example", ""):
        assert check_now(replace(known, sightings=(replace(seen, host=host),))) != ()


def test_a_sighting_without_certificates_stays_as_it_is() -> None:
    """Such as one from a file, or one that a plan assumes."""
    known = facts(IDENTITY, TRUSTS["new"], TRUSTS["old"])
    (seen,) = known.sightings
    assert check_now(known) != ()
    assert check_now(replace(known, sightings=(replace(seen, served=None),))) == ()


def test_a_plan_for_a_later_date_judges_the_chain_at_the_time_of_the_probe() -> None:
    """The certificate has expired by then, and is renewed before, as for all other versions."""
    known = facts(IDENTITY, TRUSTS["both"], TRUSTS["new"], TRUSTS["both"])
    (seen,) = known.sightings
    later = replace(known, now=IDENTITY.certificate.not_after + DAY)
    versions = known.deployed.versions
    assert served_chain(later, versions) is not None
    probed = replace(later, sightings=(replace(seen, time=NOW),))
    assert served_chain(probed, versions) is None


def test_each_version_has_its_own_conclusion() -> None:
    known = facts(IDENTITY, TRUSTS["both"], TRUSTS["old"], TRUSTS["both"])
    (found,) = check_now(known)
    assert "with the trust anchors of version 1, which refuses it" in found.problem
    assert found.safe_from == NOW - DAY + TIMING.adopt


def test_a_chain_without_an_anchor_and_a_key_are_two_faults() -> None:
    """Version 1 lacks the root, and version 2 has other pins: another key repairs only one."""
    known = facts(IDENTITY, TRUSTS["both"], TRUSTS["old"], TRUSTS["both"], TRUSTS["both"])
    first, second, third = known.deployed.versions
    other = kit.pin_set(kit.policy(HOST, trust=TRUSTS["both"]), version=2)
    first = replace(first, fetched=NOW - 3 * DAY)
    second = replace(second, pins=other, fetched=NOW - 2 * DAY)
    known = replace(known, deployed=DeployedVersions((first, second, third)))
    (found,) = check_now(known)
    both = "anchors of version 1, which refuses it, and a key that version 2 refuses"
    assert both in found.problem
    assert "to a trust anchor that every version alive has, with a key that every" in found.fix
    assert found.clients == clients_at_risk(known, [first, second])
    assert found.clients != clients_at_risk(known, [first])


@pytest.mark.parametrize(
    ("sent", "refused"), [("intermediate", [True, False]), ("expired", [False, False])]
)
def test_a_simulated_key_stays_below_the_authorities(sent: str, refused: list[bool]) -> None:
    """Clients without their anchor still lack it; a chain that no client verifies is repaired."""
    known = facts(SENT[sent], TRUSTS["both"], TRUSTS["old"], TRUSTS["both"])
    script = build_script(known, [DatedStep(1, Step("serve", kit.NOBODY), NOW + DAY)])
    begin, after = (
        [each.refuses(serving.chains, serving.at) for each in script.releases]
        for serving in script.servings
    )
    assert (begin, after) == ([True, sent == "expired"], refused)


@pytest.mark.parametrize(("first", "is_safe"), [("new", True), ("old", False)])
def test_a_new_leaf_of_a_pinned_authority_is_safe_if_every_version_trusts_it(
    first: str, is_safe: bool
) -> None:
    """The versions trust different anchors; each may have the pinned authority in its path."""
    trusts = (TRUSTS[first], TRUSTS["both"])
    known = facts(IDENTITY, TRUSTS["both"], *trusts)
    pins = (HostPin(ISSUER.pin, "intermediate"), HostPin(kit.NOBODY, "backup"))

    def pinned(content: PinSet) -> PinSet:
        (policy,) = content.policies
        return replace(content, policies=(replace(policy, pins=pins, match="ca"),))

    versions = tuple(replace(each, pins=pinned(each.pins)) for each in known.deployed.versions)
    known = replace(known, pins=pinned(known.pins), deployed=DeployedVersions(versions))
    past = PinHistory(compromised=frozenset({IDENTITY.pin}))
    path = emergency_path(replace(known, past=past), IDENTITY.pin, "stolen")
    assert path.is_safe is is_safe
    assert any(step.act == "switch" and step.pin == ISSUER.pin for step in path.steps)


def test_without_differing_anchors_no_root_is_named() -> None:
    same, differing = (facts(IDENTITY, TRUSTS["both"], TRUSTS[name]) for name in ("both", "new"))
    assert (anchors_to_name(same), anchors_to_name(differing)) == ((), ("CN=New",))


def test_a_stolen_root_is_not_named() -> None:
    three = kit.anchors(OLD, NEW, Authority("Third"))
    known = facts(IDENTITY, three, TRUSTS["both"], three)
    assert anchors_to_name(known) == ("CN=Old", "CN=New")
    past = PinHistory(compromised=frozenset({OLD.pin}))
    assert anchors_to_name(replace(known, past=past)) == ("CN=New",)


@pytest.mark.parametrize("days", [(-99, -1), (1, 99)])
def test_a_root_that_is_not_valid_now_is_not_named(days: tuple[int, int]) -> None:
    invalid = Authority("Invalid", change=valid(*days))
    known = facts(IDENTITY, kit.anchors(invalid, NEW), kit.anchors(invalid, OLD, NEW))
    assert anchors_to_name(known) == ("CN=New",)
    path = after_theft(facts(IDENTITY, kit.anchors(invalid, NEW), kit.anchors(invalid)))
    assert path.harm is not None
    assert path.harm.problem == "the pin file and version 1 trust no valid anchor in common"


@pytest.mark.parametrize("days", [(-99, -1), (-99, 99)])
def test_a_root_that_was_renewed_with_its_key_is_the_same_anchor(days: tuple[int, int]) -> None:
    """Unless the certificate of some clients has expired: they refuse its certificates."""
    earlier = Authority("New", key=NEW.key, change=valid(*days))
    known = facts(IDENTITY, TRUSTS["new"], kit.anchors(earlier))
    assert (path_of_client(IDENTITY, policy_with(kit.anchors(earlier))) is not None) == (
        anchors_to_name(known) == ("CN=New",)
    )
    other = Authority("Other name", key=NEW.key)
    assert anchors_to_name(facts(IDENTITY, TRUSTS["new"], kit.anchors(other))) == ()


def test_an_intermediate_in_the_file_of_some_clients_is_a_common_anchor() -> None:
    """The others verify it with the root above it, unless the key of that root was stolen."""
    known = facts(IDENTITY, TRUSTS["new"], TRUSTS["intermediate"])
    assert anchors_to_name(known) == ("CN=Issuer",)
    past = PinHistory(compromised=frozenset({NEW.pin}))
    assert anchors_to_name(replace(known, past=past)) == ()


def _published(
    draft: str, *versions: str | None, sent: str = "intermediate", mode: Mode = "enforce"
) -> tuple[Violation, ...]:
    """Return what stops a draft that trusts other anchors than the versions that clients hold.

    The first version has the mode ``mode``, as the draft.
    """
    known = facts(SENT[sent], TRUSTS[draft], *(TRUSTS[each] if each else None for each in versions))
    first, *others = known.deployed.versions
    changed = DeployedVersions((replace(first, pins=_with_mode(first.pins, mode)), *others))
    known = replace(known, pins=_with_mode(known.pins, mode), deployed=changed)
    found = check_step(known, "publish")
    return tuple(each for each in found if "trusts none of the anchors" in each.problem)


def _with_mode(pins: PinSet, mode: Mode) -> PinSet:
    return replace(pins, policies=tuple(replace(each, mode=mode) for each in pins.policies))


@pytest.mark.parametrize("mode", ["enforce", "report"])
@pytest.mark.parametrize("versions", [("old", "both"), (None, "old", "both")])
def test_the_last_anchor_of_all_versions_stays_in_the_draft(
    versions: tuple[str | None, ...], mode: Mode
) -> None:
    """In each mode, because clients verify the chain in each; a version without a file has none."""
    [found] = _published("new", *versions, mode=mode)
    assert found.invariant == "served-chain"
    assert found.safe_from == NOW - DAY + TIMING.adopt
    assert found.fix == "keep CN=Old in the file of `trust` until then"
    assert _published("both", *versions, mode=mode) == ()


def test_a_chain_that_all_clients_verify_needs_no_anchor_of_all_versions() -> None:
    """The new root is cross-signed by the old one. Without a probe, it is unknown."""
    assert _published("new", "old", "both", sent="cross-signed") == ()
    known = facts(SENT["cross-signed"], TRUSTS["new"], TRUSTS["old"], TRUSTS["both"], sightings=())
    [found] = check_step(known, "publish")
    assert found.fix.endswith("as of a cross-signed root, leave out --offline")


def test_anchors_that_no_client_accepts_need_not_stay() -> None:
    """An anchor that has expired, or with a stolen key, can be removed, although all trust it."""
    assert _published("new", "other", "old") == ()
    gone = kit.anchors(Authority("Gone", change=valid(-99, -1)))
    both = TrustAnchors((*gone.der, *TRUSTS["new"].der))
    expired = facts(SENT["intermediate"], TRUSTS["new"], gone, both)
    theft = PinHistory(compromised=frozenset({OLD.pin}))
    stolen = facts(SENT["intermediate"], TRUSTS["new"], TRUSTS["old"], TRUSTS["both"], past=theft)
    for known in (expired, stolen):
        assert all("trusts none" not in each.problem for each in check_step(known, "publish"))


def test_a_draft_that_shares_an_anchor_with_each_version_but_none_with_all_is_refused() -> None:
    first, second, third = (Authority(name) for name in ("First", "Second", "Third"))
    known = facts(
        SENT["intermediate"],
        kit.anchors(first, third),
        kit.anchors(first, second),
        kit.anchors(second, third),
        sightings=(),
    )
    [found] = check_step(known, "publish")
    assert found.problem.startswith(
        "the pin file trusts none of the anchors that versions 1 and 2 trust"
    )
    assert (found.clients, found.safe_from) == (900, None), "the latest version does not end"
    assert found.fix.startswith("keep CN=Second in the file of `trust`; or")


def after_theft(known: Situation) -> EmergencyPath:
    """Return the path after the key of the server was stolen."""
    past = replace(known.past, compromised=frozenset({IDENTITY.pin}))
    return emergency_path(replace(known, past=past), IDENTITY.pin, "stolen")


def test_with_a_cross_signed_root_the_present_issuer_is_named() -> None:
    """No anchor is common, and all clients verify the chain that the server sends."""
    known = facts(sent_with(ISSUER, CROSSED), TRUSTS["new"], TRUSTS["old"], TRUSTS["new"])
    assert (anchors_to_name(known), issuers_to_name(known)) == ((), ("CN=Issuer",))
    stolen = replace(known, past=PinHistory(compromised=frozenset({OLD.pin})))
    for situation in (
        stolen,
        facts(sent_with(ISSUER), TRUSTS["new"], TRUSTS["old"], TRUSTS["new"]),
        facts(sent_with(ISSUER, CROSSED), TRUSTS["both"], TRUSTS["new"]),
    ):
        assert issuers_to_name(situation) == ()


def test_a_root_of_the_platform_has_to_be_put_into_the_file_of_the_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust_on_this_platform(tmp_path, monkeypatch, NEW)
    path = after_theft(facts(IDENTITY, TRUSTS["old"], None, roots=public_roots()))
    assert path.harm is not None
    assert path.harm.fix.startswith("put a root of the platform, which clients trust, into the ")
    mended = after_theft(facts(IDENTITY, TRUSTS["both"], None, roots=public_roots()))
    assert (mended.harm, mended.steps[0].anchors) == (None, ("CN=New",))


def test_the_least_harmful_path_names_the_common_root() -> None:
    """No client accepts another key yet. Below another root, more of them are locked out."""
    lost = PinHistory(lost=frozenset({kit.NOBODY, kit.NOBODY_ELSE}))
    path = after_theft(facts(IDENTITY, TRUSTS["both"], TRUSTS["new"], past=lost))
    assert path.harm is not None
    steps = {step.act: step for step in path.steps}
    assert steps["request"].anchors == ("CN=New",)
    assert (steps["switch"].forced, steps["switch"].chain) == (True, True)


def test_a_new_backup_has_a_date_if_versions_trust_different_anchors() -> None:
    """Its certificate is not known yet: it is assumed to be below the common root."""
    lost = PinHistory(lost=frozenset({kit.NOBODY}))
    path = after_theft(facts(IDENTITY, TRUSTS["both"], TRUSTS["new"], past=lost))
    assert path.spare_from == NOW + TIMING.adopt


def test_a_version_without_the_host_does_not_count_for_the_common_trust() -> None:
    """No client of that version compares pins at the host."""
    known = facts(IDENTITY, TRUSTS["both"], TRUSTS["new"], roots=public_roots())
    other = kit.pin_set(kit.policy("other.example", IDENTITY.pin), version=9)
    alone = (Version(other, fetched=NOW - DAY),)
    both = (*known.deployed.versions, *alone)
    known, only = (
        replace(known, deployed=replace(known.deployed, versions=versions))
        for versions in (both, alone)
    )
    assert anchors_to_name(known) == ("CN=New",)
    assert (anchors_to_name(only), has_common_trust(only)) == ((), True)
    by_authority = (HostPin(ISSUER.pin, "intermediate"), HostPin(kit.NOBODY, "backup"))
    pins = replace(known.pins, policies=(replace(known.policy, pins=by_authority),))
    known = replace(known, pins=pins)
    assert with_common_trust(known, ISSUER.pin) is not known


def test_a_common_trust_is_assumed_for_each_host_of_a_version() -> None:
    """Only one host of the version has the anchors of the draft already."""
    known = facts(IDENTITY, TRUSTS["both"], TRUSTS["new"])
    [out] = known.deployed.versions
    other = kit.policy("other.example", IDENTITY.pin, trust=TRUSTS["both"])
    mixed = replace(out, pins=replace(out.pins, policies=(*out.pins.policies, other)))
    deployed = replace(known.deployed, versions=(mixed,))
    [assumed] = with_common_trust(replace(known, deployed=deployed), kit.NOBODY).deployed.versions
    assert assumed.pins.trusts == {TRUSTS["both"]}
    assert mixed.pins.trusts == {TRUSTS["new"], TRUSTS["both"]}
