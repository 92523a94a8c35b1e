"""The gate refuses a chain exactly if a client of certpin refuses it in a real handshake."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from certpin import PinnedSSLContext
from certpin.lab import Authority
from certpin.pins import TrustAnchors
from certpin.rotation import Prospect, Version, check_step
from certpin.x509.certificate import read_certificates
from tests import kit
from tests.rotation._situations import DAY, situation
from tests.x509._authorities import (
    CHAINS,
    HOST,
    all_of,
    basic,
    changed,
    naming,
    refusal_of_openssl,
    valid,
    without,
)

if TYPE_CHECKING:
    from pathlib import Path

    from certpin.lab import Identity
    from certpin.rotation import Violation
    from tests.x509._authorities import Change


def refusals_of_gate(
    identity: Identity, trust: TrustAnchors, folder: Path
) -> tuple[Violation, ...]:
    """Ask the gate about a chain with the pinned key, and compare with a client's handshake.

    Return the violations of the gate.
    """
    pins = kit.pin_set(kit.policy(HOST, identity.pin, trust=trust))
    now = datetime.now(UTC)
    known = situation(replace(pins, version=2), Version(pins, fetched=now - 90 * DAY), now=now)
    leaf, *above = read_certificates(identity.chain_pem)
    found = check_step(known, "activate", identity.pin, [Prospect(leaf, tuple(above), sent=True)])
    refusal = refusal_of_openssl(identity, PinnedSSLContext(pins), folder)
    assert bool(found) == bool(refusal), (found, refusal)
    return found


@pytest.mark.parametrize("name", sorted(CHAINS))
def test_the_gate_decides_about_a_chain_as_a_client_does(name: str, tmp_path: Path) -> None:
    identity, root = CHAINS[name]()
    found = refusals_of_gate(identity, kit.anchors(root), tmp_path)
    assert {each.invariant for each in found} <= {"certificate"}
    assert all(each.fix for each in found)


def test_the_violation_names_the_certificate_and_its_mend(tmp_path: Path) -> None:
    identity, root = CHAINS["issuer expired"]()
    (found,) = refusals_of_gate(identity, kit.anchors(root), tmp_path)
    assert found.problem.startswith("the authority CN=Issuer in its chain expired on ")
    assert "send the authority's present certificate" in found.fix
    identity, root = CHAINS["leaf early"]()
    (found,) = refusals_of_gate(identity, kit.anchors(root), tmp_path)
    assert found.safe_from == identity.certificate.not_before


@pytest.mark.medium
def test_an_expired_certificate_beside_a_valid_path_does_no_harm(tmp_path: Path) -> None:
    """As with the certificate of ISRG Root X1 that an expired root had signed."""
    root = Authority("Root")
    old = Authority("Old root", change=valid(-99, -1))
    crossed = Authority("Root", issuer=old, key=root.key, change=valid(-99, -1))
    issuer = root.intermediate("Issuer")
    expired = Authority("Issuer", issuer=root, key=issuer.key, change=valid(-99, -1))
    identity = issuer.issue(HOST)
    leaf, good = identity.chain
    for above in itertools.permutations([good, crossed.x509, expired.x509]):
        sent = replace(identity, chain=(leaf, *above))
        for anchors in ((root,), (root, old), (old, root)):
            assert not refusals_of_gate(sent, kit.anchors(*anchors), tmp_path)


@pytest.mark.parametrize(
    ("change", "is_harmless"),
    [
        (valid(-99, -1), {True, False}),
        (changed(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])), {False}),
        (changed(basic(ca=False)), {False}),
    ],
)
def test_of_two_issuers_openssl_takes_the_first_that_is_valid_now(
    change: Change, is_harmless: set[bool], tmp_path: Path
) -> None:
    """If the path that it takes has another flaw, OpenSSL doesn't try the other one."""
    root = Authority("Root")
    issuer = root.intermediate("Issuer")
    flawed = Authority("Issuer", issuer=root, key=issuer.key, change=change)
    identity = issuer.issue(HOST)
    leaf, good = identity.chain
    after = replace(identity, chain=(leaf, good, flawed.x509))
    before = replace(identity, chain=(leaf, flawed.x509, good))
    assert not refusals_of_gate(after, kit.anchors(root), tmp_path)
    found = refusals_of_gate(before, kit.anchors(root), tmp_path)
    assert (not found) in is_harmless
    trusted = kit.anchors(root, issuer)
    assert not refusals_of_gate(before, trusted, tmp_path)


def test_a_root_that_expired_is_taken_if_its_intermediate_was_sent_first(tmp_path: Path) -> None:
    new, old = Authority("New"), Authority("Old", change=valid(-99, -1))
    by_new = new.intermediate("Issuer")
    by_old = Authority("Issuer", issuer=old, key=by_new.key)
    identity = by_new.issue(HOST)
    leaf, good = identity.chain
    trust = kit.anchors(old, new)
    first = replace(identity, chain=(leaf, by_old.x509, good))
    (found,) = refusals_of_gate(first, trust, tmp_path)
    assert found.problem.startswith("the root CN=Old in its chain expired on ")
    last = replace(identity, chain=(leaf, good, by_old.x509))
    assert not refusals_of_gate(last, trust, tmp_path)


@pytest.mark.parametrize("is_cross", [True, False])
def test_the_issuer_that_is_sent_first_has_to_lead_to_an_anchor(
    is_cross: bool, tmp_path: Path
) -> None:
    """OpenSSL tries no other one. A root that is not trusted is such an issuer, too."""
    new, other = Authority("New"), Authority("Other")
    issuer = new.intermediate("Issuer")
    dead = Authority("Issuer", issuer=other if is_cross else None, key=issuer.key)
    identity = issuer.intermediate("Below").issue(HOST)
    leaf, below, good = identity.chain
    first = replace(identity, chain=(leaf, below, dead.x509, good))
    (found,) = refusals_of_gate(first, kit.anchors(new), tmp_path)
    name = "Other" if is_cross else "Issuer"
    assert f"CN=Issuer in its chain, issued by {name}, leads to no trust anchor" in found.problem
    assert found.fix.startswith("send the certificate of this authority that leads to a")
    last = replace(identity, chain=(leaf, below, good, dead.x509))
    assert not refusals_of_gate(last, kit.anchors(new), tmp_path)
    assert not refusals_of_gate(first, kit.anchors(new, issuer), tmp_path)


def test_an_issuer_that_does_not_fit_the_key_identifier_is_no_issuer(tmp_path: Path) -> None:
    """As with a root that was signed again with its key, and is in the trust file twice."""
    old = Authority("Root")
    new = Authority("Root", key=old.key)
    identity = new.issue(HOST, change=naming(new))
    for anchors in ((old, new), (new, old)):
        assert not refusals_of_gate(identity, kit.anchors(*anchors), tmp_path)
    found = refusals_of_gate(identity, kit.anchors(old), tmp_path)
    assert ["another issuer in its authorityKeyId" in each.problem for each in found] == [True]
    key = changed(x509.SubjectKeyIdentifier(b"another key"), critical=False)
    other = Authority("Root", key=old.key, change=key)
    for anchors in ((other, new), (new, other)):
        assert not refusals_of_gate(new.issue(HOST), kit.anchors(*anchors), tmp_path)


def test_an_issuer_that_fits_and_whose_own_issuer_does_not_is_taken(tmp_path: Path) -> None:
    root = Authority("Root")
    issuer = root.intermediate("Issuer")
    again = Authority("Issuer", issuer=root, key=issuer.key)
    stray = Authority("Issuer", issuer=root, key=issuer.key, change=naming(issuer))
    identity = again.issue(HOST, change=naming(again))
    leaf, good = identity.chain
    for above in itertools.permutations([good, issuer.x509]):
        sent = replace(identity, chain=(leaf, *above))
        assert not refusals_of_gate(sent, kit.anchors(root), tmp_path)
        assert not refusals_of_gate(sent, kit.anchors(issuer, root), tmp_path)
    identity = again.issue(HOST)
    for above in itertools.permutations([good, stray.x509]):
        sent = replace(identity, chain=(identity.chain[0], *above))
        found = refusals_of_gate(sent, kit.anchors(root), tmp_path)
        assert bool(found) == (above[0] is stray.x509)


def test_a_path_to_an_intermediate_as_the_anchor_ends_there(tmp_path: Path) -> None:
    root = Authority("Root", change=valid(-99, -1))
    issuer = root.intermediate("Issuer")
    assert not refusals_of_gate(issuer.issue(HOST), kit.anchors(issuer), tmp_path)
    both = refusals_of_gate(issuer.issue(HOST), kit.anchors(issuer, root), tmp_path)
    assert [each.invariant for each in both] == ["certificate"]


@pytest.mark.medium
@pytest.mark.parametrize("of_issuer", [True, False])
@pytest.mark.parametrize(
    "change",
    [
        valid(-99, -1),
        changed(basic(ca=False)),
        without(x509.AuthorityKeyIdentifier),
        all_of(),
    ],
    ids=["expired", "no authority", "no identifier", "unchanged"],
)
def test_a_certificate_that_is_an_anchor_does_not_hide_the_issuers_that_are_sent(
    change: Change, of_issuer: bool, tmp_path: Path
) -> None:
    root = Authority("Root")
    issuer = root.intermediate("Issuer", change=change if of_issuer else all_of())
    identity = issuer.issue(HOST, change=all_of() if of_issuer else change)
    for above in ((issuer,), (issuer, root)):
        sent = replace(identity, chain=(identity.chain[0], *(each.x509 for each in above)))
        for anchors in ((), (root,)):
            trust = TrustAnchors((identity.certificate.der, *kit.anchors(*anchors).der))
            for strict in (True, False):
                found = refusals_of_gate(sent, replace(trust, strict=strict), tmp_path)
                alone = replace(identity, chain=identity.chain[:1])
                is_mend = not refusals_of_gate(alone, replace(trust, strict=strict), tmp_path)
                assert all(("send only the cert" in each.fix) == is_mend for each in found)


def test_an_intermediate_as_the_anchor_needs_its_root_beside_one_of_this_name(
    tmp_path: Path,
) -> None:
    """OpenSSL then accepts no path that ends at an intermediate."""
    root, renewed = Authority("Root"), Authority("Root")
    issuer = root.intermediate("Issuer")
    identity = issuer.issue(HOST)
    (found,) = refusals_of_gate(identity, kit.anchors(issuer, renewed), tmp_path)
    assert "its chain ends at CN=Issuer, and no root Root" in found.problem
    assert "let `trust` name the root" in found.fix
    assert not refusals_of_gate(identity, kit.anchors(issuer, renewed, root), tmp_path)
    assert not refusals_of_gate(identity, kit.anchors(issuer), tmp_path)


def test_clients_of_the_platform_need_a_known_root_on_the_path_that_openssl_takes() -> None:
    """If no root is known here, all paths end below a root that other machines may know."""
    new, other = Authority("New"), Authority("Other")
    issuer = new.intermediate("Issuer")
    dead = Authority("Issuer", issuer=other, key=issuer.key).certificate
    identity = issuer.issue(HOST)
    own = kit.pin_set(kit.policy(HOST, identity.pin))
    now = datetime.now(UTC)
    known = situation(replace(own, version=2), Version(own, fetched=now - 90 * DAY), now=now)
    good = issuer.certificate
    for above, roots, is_refused in (
        ((dead, good), (new,), True),
        ((good, dead), (new,), False),
        ((dead, good), (new, other), False),
        ((dead, good), (), False),
    ):
        ders = tuple(root.certificate.der for root in roots)
        chain = Prospect(identity.certificate, above, sent=True, roots=ders)
        assert bool(check_step(known, "activate", identity.pin, [chain])) == is_refused


def test_clients_of_the_platform_are_judged_by_the_known_part_of_the_path() -> None:
    root = Authority("Root")
    now = datetime.now(UTC)
    for change, invariants in ((valid(-9, 99), set()), (valid(-99, -1), {"certificate"})):
        issuer = root.intermediate("Issuer", change=change)
        identity = issuer.issue(HOST)
        own = kit.pin_set(kit.policy(HOST, identity.pin))
        known = situation(replace(own, version=2), Version(own, fetched=now - 90 * DAY), now=now)
        for roots in ((), (root.certificate.der,)):
            chain = Prospect(identity.certificate, (issuer.certificate,), sent=True, roots=roots)
            found = check_step(known, "activate", identity.pin, [chain])
            assert {each.invariant for each in found} == invariants


_RSA_KEY = rsa.generate_private_key(65537, 2048)
_NO_IDENTIFIERS = without(x509.SubjectKeyIdentifier, x509.AuthorityKeyIdentifier)


@pytest.mark.parametrize("change", [lambda each: each, _NO_IDENTIFIERS])
@pytest.mark.parametrize(
    "anchors", ["old", "new", "old new", "new old", "signed", "signed new", "new signed"]
)
@pytest.mark.parametrize("sent", ["", "signed", "new", "signed old", "new signed", "old signed"])
@pytest.mark.parametrize("has_issuer", [False, True])
@pytest.mark.parametrize("strict", [False, True])
def test_a_new_key_of_a_root_that_the_old_key_signed_is_no_root(
    change: Change, anchors: str, sent: str, has_issuer: bool, strict: bool, tmp_path: Path
) -> None:
    """The gate finds the same faults in a chain as OpenSSL, for each combination of certificates.

    They are the old root, the new root, and a certificate for the new key that the old key signed.
    All have the same subject, so that without key identifiers OpenSSL takes the third for
    self-signed. Of two roots with the name of the issuer, it then takes the first, also if that has
    the wrong key.
    """
    old = Authority("Root", change=change)
    new = Authority("Root", change=change)
    signed = Authority("Root", issuer=old, key=new.key, change=change)
    made = {"old": old, "new": new, "signed": signed}
    issuer = Authority("Issuer", issuer=new, change=change) if has_issuer else new
    leaf = issuer.issue(HOST, change=change)
    above = [issuer.x509] if has_issuer else []
    above += [made[name].x509 for name in sent.split()]
    identity = replace(leaf, chain=(leaf.chain[0], *above))
    trust = kit.anchors(*(made[name] for name in anchors.split()))
    refusals_of_gate(identity, replace(trust, strict=strict), tmp_path)


@pytest.mark.parametrize("anchors", ["old", "new", "old new", "new old", "signed", "signed new"])
@pytest.mark.parametrize("sent", ["", "signed", "new", "signed old", "new signed", "old signed"])
def test_openssl_takes_only_issuers_whose_type_of_key_fits_the_signature(
    anchors: str, sent: str, tmp_path: Path
) -> None:
    """The old root has an RSA key, and the new one an EC key; without key identifiers."""
    old = Authority("Root", key=_RSA_KEY, change=_NO_IDENTIFIERS)
    new = Authority("Root", change=_NO_IDENTIFIERS)
    signed = Authority("Root", issuer=old, key=new.key, change=_NO_IDENTIFIERS)
    made = {"old": old, "new": new, "signed": signed}
    leaf = new.issue(HOST, change=_NO_IDENTIFIERS)
    identity = replace(leaf, chain=(leaf.chain[0], *(made[name].x509 for name in sent.split())))
    trust = kit.anchors(*(made[name] for name in anchors.split()))
    refusals_of_gate(identity, replace(trust, strict=False), tmp_path)


def test_a_self_issued_authority_is_the_end_of_no_path() -> None:
    """A root may lack basicConstraints: not the new key of a root that its old key certified."""
    bare = without(x509.BasicConstraints)
    old = Authority("Root", change=bare)
    for authority, is_fault in ((old, False), (Authority("Root", issuer=old, change=bare), True)):
        identity = authority.issue(HOST)
        own = kit.pin_set(kit.policy(HOST, identity.pin))
        now = datetime.now(UTC)
        known = situation(replace(own, version=2), Version(own, fetched=now - 90 * DAY), now=now)
        chain = Prospect(identity.certificate, (authority.certificate,), sent=True)
        found = check_step(known, "activate", identity.pin, [chain])
        assert any("it has no basicConstraints" in each.problem for each in found) == is_fault
