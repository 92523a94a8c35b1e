"""Predict whether clients accept a chain that a server will present.

The prediction is "open" if the chain is not known well enough.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certpin.lab import Authority
from certpin.pins import HostPin, HostPolicy, Pin, PinSet, verify
from certpin.rotation import (
    DeployedVersions,
    Prospect,
    Situation,
    Version,
    check_step,
    prospect,
)
from certpin.rotation.prospect import chain_of_prospect, conclude, prospects_of_key, stand_in
from certpin.x509 import Chain
from certpin.x509.certificate import read_certificates
from certpin.x509.chain import read_facts
from tests import kit
from tests.rotation._situations import (
    DAY,
    HOST,
    NOW,
    PATTERN,
    TIMING,
    pin,
    pin_set,
    situation,
    version,
)

if TYPE_CHECKING:
    from certpin.lab import Identity
    from certpin.pins import Match, Role, State
    from certpin.rotation.prospect import Conclusion
    from certpin.x509 import Certificate
    from certpin.x509.chain import CertificateFacts

ROLES: dict[str, Role] = {"a": "leaf", "b": "leaf", "c": "intermediate", "d": "root"}
STATES: tuple[State, ...] = ("active", "published", "removed", "compromised")


@st.composite
def policies(draw: st.DrawFn) -> HostPolicy:
    states = {name: draw(st.sampled_from(STATES)) for name in ROLES}
    states[draw(st.sampled_from("abcd"))] = "active"
    pins = [HostPin(pin(name), ROLES[name], state) for name, state in states.items()]
    match: Match = draw(st.sampled_from(["leaf", "ca", "any"]))
    return HostPolicy(PATTERN, tuple(pins), mode="report", match=match)


def enforced(policy: HostPolicy) -> HostPolicy:
    """Return the policy in mode "enforce", without the check that it has enough pins."""
    changed = replace(policy)
    object.__setattr__(changed, "mode", "enforce")
    return changed


@given(policies(), st.sampled_from("abx"), st.booleans())
def test_a_conclusion_about_a_key_holds_for_every_chain_that_it_may_get(
    policy: HostPolicy, leaf: str, knows_above: bool
) -> None:
    policy = enforced(policy)
    known = (stand_in(pin("c")),) if knows_above else ()
    found = conclude([Prospect(stand_in(pin(leaf)), known)], [policy], NOW)
    every = {
        verify(Chain((stand_in(pin(leaf)), *known, *above)), policy, NOW).decision
        for count in (1, 2)
        for above in itertools.product([stand_in(pin(name)) for name in "cdy"], repeat=count)
    }
    expected: dict[Conclusion, set[str]] = {
        "accepted": {"accept"},
        "refused": {"refuse"},
        "open": {"accept", "refuse"},
    }
    assert every == expected[found]


CASES: list[tuple[Match, str, Role, Conclusion]] = [
    ("leaf", "old", "leaf", "accepted"),
    ("leaf", "other", "leaf", "refused"),
    ("any", "old", "leaf", "accepted"),
    ("any", "other", "leaf", "open"),
    ("ca", "old", "leaf", "open"),
    ("ca", "ca", "intermediate", "accepted"),
    ("any", "ca", "intermediate", "accepted"),
    ("leaf", "ca", "intermediate", "open"),
]


@pytest.mark.parametrize(("match", "name", "role", "conclusion"), CASES)
def test_a_key_says_as_much_as_the_position_that_is_compared(
    match: Match, name: str, role: Role, conclusion: Conclusion
) -> None:
    entries = (
        HostPin(pin("old"), "leaf", "active"),
        HostPin(pin("ca"), "intermediate", "active"),
        HostPin(pin("next"), "backup", "published"),
    )
    policy = HostPolicy(PATTERN, entries, match=match)
    pins = replace(pin_set({"old": "active", "next": "published"}), policies=(policy,))
    known = situation(pins)
    assert conclude(prospects_of_key(known, pin(name)), [policy], NOW) == conclusion


# Chains from files, signed by a real authority.


def sent(identity: Identity, *roots: Authority) -> Prospect:
    leaf, *above = _certificates(identity)
    return Prospect(leaf, tuple(above), sent=True, roots=tuple(r.certificate.der for r in roots))


def _certificates(identity: Identity) -> list[Certificate]:
    return list(read_certificates(identity.chain_pem))


def policy_of(*pins: Pin, **fields: Any) -> HostPolicy:
    return kit.policy(HOST, *pins, **fields)


@pytest.fixture(scope="module")
def root() -> Authority:
    return Authority("root", now=NOW)


@pytest.fixture(scope="module")
def ca(root: Authority) -> Authority:
    return root.intermediate("ca")


@pytest.mark.parametrize("match", ["ca", "any"])
def test_a_new_leaf_under_a_pinned_authority_is_accepted(
    root: Authority, ca: Authority, match: Match
) -> None:
    renewed = sent(ca.issue(HOST), root)
    for pinned in (ca.pin, root.pin):
        assert conclude([renewed], [policy_of(pinned, match=match)], NOW) == "accepted"
    assert conclude([renewed], [policy_of(ca.pin, match="leaf")], NOW) == "refused"


def test_a_pinned_leaf_is_refused_if_only_authorities_are_compared(
    root: Authority, ca: Authority
) -> None:
    identity = ca.issue(HOST)
    assert conclude([sent(identity, root)], [policy_of(identity.pin, match="ca")], NOW) == "refused"
    assert conclude([sent(identity, root)], [policy_of(identity.pin)], NOW) == "accepted"


def test_clients_with_anchors_of_their_own_refuse_another_authority(
    root: Authority, ca: Authority
) -> None:
    identity, other = ca.issue(HOST), Authority("other", now=NOW)
    own = policy_of(identity.pin, trust=kit.anchors(other))
    assert conclude([sent(identity, root)], [own], NOW) == "refused"
    assert conclude([sent(identity, root)], [policy_of(identity.pin)], NOW) == "accepted"
    both = policy_of(identity.pin, trust=kit.anchors(other, root))
    assert conclude([sent(identity)], [both], NOW) == "accepted"


def test_a_root_that_this_machine_lacks_leaves_the_authorities_open(
    root: Authority, ca: Authority
) -> None:
    identity = ca.issue(HOST)
    without = replace(sent(identity), roots=())
    by_root = replace(policy_of(root.pin), pins=(HostPin(root.pin, "root"), *_backup()))
    assert conclude([without], [by_root], NOW) == "open"
    assert conclude([without], [policy_of(ca.pin)], NOW) == "accepted"
    assert conclude([without], [policy_of(identity.pin, match="leaf")], NOW) == "accepted"


def _backup() -> tuple[HostPin, ...]:
    return (HostPin(kit.NOBODY, "backup"),)


def test_each_path_of_a_cross_signed_authority_has_to_be_accepted(root: Authority) -> None:
    """Some clients build a path to the authority's old root, and others to its new root."""
    other, ca = Authority("other", now=NOW), root.intermediate("ca")
    crossed = Authority("ca", issuer=other, key=ca.key)
    identity = ca.issue(HOST)
    leaf, above = _certificates(identity)
    roots = (root.certificate.der, other.certificate.der)
    both = Prospect(leaf, (above, crossed.certificate), sent=True, roots=roots)
    assert conclude([both], [policy_of(root.pin)], NOW) == "open"
    assert conclude([both], [policy_of(root.pin, other.pin)], NOW) == "accepted"
    assert conclude([both], [policy_of(ca.pin)], NOW) == "accepted"


def test_a_server_is_taken_to_present_the_path_that_clients_accept(root: Authority) -> None:
    """``plan`` goes on with this path after the servers have the chain."""
    other, ca = Authority("other", now=NOW), root.intermediate("ca")
    crossed = Authority("ca", issuer=other, key=ca.key)
    leaf, above = _certificates(ca.issue(HOST))
    roots = (root.certificate.der, other.certificate.der)
    both = Prospect(leaf, (above, crossed.certificate), sent=True, roots=roots)
    for pinned in (root, other):
        found = chain_of_prospect(both, policy_of(pinned.pin), NOW)
        assert found is not None
        assert found.certificates[-1] == pinned.certificate


def test_a_chain_with_a_forged_signature_has_no_path(root: Authority, ca: Authority) -> None:
    """The chain has the pinned authority's certificate, but its key did not sign the leaf."""
    forger = Authority("ca", issuer=Authority("root", now=NOW))
    leaf, _ = _certificates(forger.issue(HOST))
    forged = Prospect(leaf, (ca.certificate,), sent=True)
    policy = policy_of(ca.pin, trust=kit.anchors(root))
    assert conclude([forged], [policy], NOW) == "refused"
    assert conclude([sent(ca.issue(HOST))], [policy], NOW) == "accepted"


def test_a_chain_with_too_many_alternatives_is_not_accepted(root: Authority, ca: Authority) -> None:
    leaf, above = _certificates(ca.issue(HOST))
    again = [Authority("ca", issuer=root, key=ca.key).certificate for _ in range(70)]
    crowded = Prospect(leaf, (above, *again), sent=True)
    policy = policy_of(ca.pin, trust=kit.anchors(root))
    assert conclude([crowded], [policy], NOW) == "refused"
    assert (
        conclude([replace(crowded, authorities=(above, *again[:9]))], [policy], NOW) == "accepted"
    )


def test_a_certificate_that_is_only_sent_is_not_on_the_path(root: Authority) -> None:
    """The pin of an unrelated intermediate in the certificate file does not count.

    That holds whether or not this machine has the root.
    """
    old, new = root.intermediate("old"), root.intermediate("new")
    leaf = _certificates(new.issue(HOST))[0]
    for roots in ((root.certificate.der,), ()):
        for above in ((old.certificate,), (new.certificate, old.certificate)):
            stale = Prospect(leaf, above, sent=True, roots=roots)
            assert conclude([stale], [policy_of(old.pin)], NOW) != "accepted"


def test_a_path_with_a_certificate_that_cannot_be_read_is_refused(
    root: Authority, ca: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unreadable certificate could be that of a compromised authority."""
    identity = ca.issue(HOST)
    of_platform = policy_of(identity.pin)
    cases = [
        (sent(identity, root), of_platform),
        (sent(identity), of_platform),
        (sent(identity), policy_of(identity.pin, trust=kit.anchors(root))),
    ]
    assert {conclude([chain], [policy], NOW) for chain, policy in cases} == {"accepted"}

    def without_authority(der: bytes) -> CertificateFacts:
        facts = read_facts(der)
        return replace(facts, certificate=None) if der == ca.certificate.der else facts

    monkeypatch.setattr(prospect, "read_facts", without_authority)
    assert {conclude([chain], [policy], NOW) for chain, policy in cases} == {"refused"}


def test_a_cross_signed_way_to_an_unknown_root_counts(root: Authority) -> None:
    other, ca = Authority("other", now=NOW), root.intermediate("ca")
    crossed = Authority("ca", issuer=other, key=ca.key)
    leaf, above = _certificates(ca.issue(HOST))
    roots = (root.certificate.der,)
    both = Prospect(leaf, (above, crossed.certificate), sent=True, roots=roots)
    by_root = replace(policy_of(root.pin), pins=(HostPin(root.pin, "root"), *_backup()))
    assert conclude([both], [by_root], NOW) == "open"
    assert conclude([both], [policy_of(ca.pin)], NOW) == "accepted"


def test_a_self_signed_leaf_needs_an_anchor_of_the_policy() -> None:
    own = Authority(HOST)
    alone = Prospect(own.certificate, (), sent=True)
    assert conclude([alone], [policy_of(own.pin)], NOW) == "refused"
    trusted = policy_of(own.pin, trust=kit.anchors(own), match="leaf")
    assert conclude([alone], [trusted], NOW) == "accepted"


def test_the_fix_for_a_host_without_trust_is_not_about_trust() -> None:
    own = Authority(HOST)
    alone = Prospect(own.certificate, (), sent=True)
    pins = replace(pin_set({"a": "active", "b": "active"}), policies=(policy_of(own.pin),))
    out = version(1, {"a": "active", "b": "active"}, ago=9 * DAY)
    known = situation(replace(pins, version=2), replace(out, pins=pins))
    found = check_step(known, "activate", own.pin, [alone])
    (fix,) = (each.fix for each in found if each.invariant == "adopted")
    assert fix == "add the missing intermediate to the file, or use a certificate of that authority"


@pytest.mark.parametrize("sends_root", [True, False], ids=["sent", "not sent"])
def test_clients_of_the_platform_refuse_a_private_root(
    root: Authority, ca: Authority, *, sends_root: bool
) -> None:
    """Clients of version 1 trust the platform's roots, and those of version 2 only a private root.

    The gate then refuses a certificate below the private root, also if the server does not send it.
    """
    identity = ca.issue(HOST)
    first = pin_set({"old": "active", "next": "published"})
    before = replace(first, policies=(policy_of(identity.pin),))
    after = replace(first, version=2, policies=(policy_of(identity.pin, trust=kit.anchors(root)),))
    out = version(1, {"a": "active", "b": "active"}, ago=9 * DAY)
    known = situation(after, replace(out, pins=before))
    above = (ca.certificate, root.certificate) if sends_root else (ca.certificate,)
    chain = replace(sent(identity), authorities=above)
    (violation,) = check_step(known, "activate", identity.pin, [chain])
    assert violation.invariant == "adopted"
    assert "no path" in violation.problem
    both = situation(after, replace(out, pins=before), replace(out, pins=after))
    (violation,) = check_step(both, "activate", identity.pin)
    assert (violation.invariant, "different anchors" in violation.problem) == ("open-chain", True)


def test_a_version_without_the_host_refuses_no_chain_and_no_key(
    root: Authority, ca: Authority
) -> None:
    """Its clients compare no pins there, or are strict and refuse the host with every chain."""
    identity = ca.issue(HOST)
    pinned = policy_of(identity.pin, trust=kit.anchors(root))
    older = kit.policy("other.example", pin("a"), pin("b"))
    draft = PinSet("bank", 2, (pinned,))
    published = [Version(PinSet("bank", 1, (older,)), bundled=NOW - 9 * DAY)]
    published.append(Version(draft, bundled=NOW - 9 * DAY))
    known = situation(draft, *published)
    full = replace(sent(identity), authorities=(ca.certificate, root.certificate))
    assert check_step(known, "activate", identity.pin, [full]) == ()
    assert check_step(known, "activate", identity.pin) == ()
    # Among the others, the anchors differ: only these can refuse the chain of the key.
    by_other = PinSet("bank", 3, (replace(pinned, trust=kit.anchors(Authority("other"))),))
    known = situation(draft, *published, Version(by_other, bundled=NOW - DAY))
    (violation,) = check_step(known, "activate", identity.pin)
    assert (violation.invariant, "whether versions 2 and 3" in violation.problem) == (
        "open-chain",
        True,
    )


def test_the_hosts_that_a_version_has_decide_whether_its_clients_find_a_path(
    root: Authority, ca: Authority
) -> None:
    """Version 1 has only one host of the wildcard."""
    identity = ca.issue("*.bank.example")
    draft = kit.pin_set(kit.policy("*.bank.example", identity.pin, pin("b")), version=2)
    own = kit.policy(HOST, identity.pin, pin("b"), trust=kit.anchors(Authority("other")))
    first = Version(kit.pin_set(own), bundled=NOW - DAY)
    pattern = draft.policies[0].pattern
    known = Situation(draft, pattern, DeployedVersions((first,)), (), TIMING, NOW)
    full = replace(sent(identity), roots=(root.certificate.der,))
    (violation,) = check_step(known, "activate", identity.pin, [full])
    assert violation.problem.startswith("version 1 can build no path from the chain")


def test_each_prefix_that_ends_at_an_anchor_is_a_path(root: Authority, ca: Authority) -> None:
    """With an intermediate in ``trust``, some clients end the path there, others at the root."""
    leaf = _certificates(ca.issue(HOST))[0]
    compromised = HostPin(root.pin, "root", "compromised")
    pins = (HostPin(ca.pin, "intermediate"), *_backup(), compromised)
    both = replace(policy_of(ca.pin, trust=kit.anchors(ca, root)), pins=pins)
    assert conclude([Prospect(leaf, (), sent=True)], [both], NOW) == "open"
    own = policy_of(ca.pin, trust=kit.anchors(ca))
    for above in ((), (ca.certificate,), (ca.certificate, root.certificate)):
        assert conclude([Prospect(leaf, above, sent=True)], [own], NOW) == "accepted"


def test_nothing_is_concluded_from_no_chain_and_no_policy() -> None:
    assert conclude([], [policy_of(pin("old"))], NOW) == "open"
    assert conclude([Prospect(None)], [], NOW) == "open"


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("api.bank.example", "**.bank.example"),
        ("*.bank.example", "**.bank.example"),
        ("api.bank.example", "*.bank.example"),
        ("**.bank.example", "api.bank.example"),
    ],
)
def test_an_older_version_counts_whatever_its_pattern_is(older: str, newer: str) -> None:
    before, after = (kit.policy(older, pin("old")), kit.policy(newer, pin("new"), pin("old")))
    draft = PinSet("bank", 2, (after,))
    out = version(1, {"a": "active", "b": "active"}, ago=9 * DAY)
    deployed = DeployedVersions((replace(out, pins=PinSet("bank", 1, (before,))),))
    known = Situation(draft, after.pattern, deployed, (), TIMING, NOW)
    assert [each.invariant for each in check_step(known, "activate", pin("new"))] == ["adopted"]
    assert check_step(known, "activate", pin("old")) == ()


def test_a_host_with_a_policy_of_its_own_is_left_out() -> None:
    exact, rest = kit.policy(HOST, pin("own")), kit.policy("**.bank.example", pin("new"))
    pins = PinSet("bank", 1, (exact, rest))
    out = replace(version(1, {"a": "active", "b": "active"}, ago=9 * DAY), pins=pins)
    known = Situation(pins, rest.pattern, DeployedVersions((out,)), (), TIMING, NOW)
    assert check_step(known, "activate", pin("new")) == ()


# The gate.


@pytest.mark.parametrize("match", ["ca", "any"])
def test_the_gate_lets_a_good_renewal_pass(root: Authority, ca: Authority, match: Match) -> None:
    pinned = pin_set({"old": "active", "next": "published"}, match=match)
    policy = replace(pinned.policies[0], pins=(HostPin(ca.pin, "intermediate"), *_backup()))
    pins = replace(pinned, policies=(policy,))
    out = replace(version(1, {"a": "active", "b": "active"}, ago=40 * DAY), pins=pins)
    known = situation(pins, out)
    identity = ca.issue(HOST)
    assert check_step(known, "activate", identity.pin, [sent(identity, root)]) == ()
    (violation,) = check_step(known, "activate", identity.pin)
    assert violation.invariant == "open-chain"
    stranger = Authority("stranger", now=NOW).issue(HOST)
    (violation,) = check_step(known, "activate", stranger.pin, [sent(stranger, root)])
    assert violation.invariant == "open-chain"


@pytest.mark.parametrize("number", [1, 2])
def test_a_stolen_authority_is_the_reason_only_for_a_version_that_refuses_it(number: int) -> None:
    states: dict[str, State] = {"a": "active", "b": "active"}
    stolen = HostPin(pin("stolen"), "intermediate", "compromised")
    old = version(1, states, ago=40 * DAY)
    draft = pin_set(states, 2)
    policy = replace(draft.policies[0], pins=(*draft.policies[0].pins, stolen))
    marked = replace(draft, policies=(replace(policy, match="any"),))
    out = replace(version(2, states, ago=40 * DAY), pins=marked)
    known = situation(marked, out if number == 2 else old)
    found = [each.problem for each in check_step(known, "activate", pin("b"))]
    assert [f"below {pin('stolen')}, which is COMPROMISED" in each for each in found] == (
        [True] if number == 2 else []
    )
