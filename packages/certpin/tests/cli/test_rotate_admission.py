"""The webhook's decision on AdmissionReviews with real CSRs: which keys all clients accept."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certpin.cli.rotate.admission import (
    Decision,
    decide,
    issuer_names,
    parse_review,
    review_json,
)
from certpin.errors import InputError
from certpin.lab import Authority
from certpin.lab.authority import new_key, new_rsa_key
from certpin.pins import Pin
from certpin.rotation import Event
from tests import kit
from tests.cli._admission import (
    DAY,
    HOST,
    NOW,
    UID,
    certificate_request,
    csr,
    facts,
    judge,
    pin_of,
    pinned,
    policy,
    publish,
    review,
)

if TYPE_CHECKING:
    from certpin.cli.rotate.admission import GateFacts
    from certpin.pins import State

KEY, OTHER, STAGED = new_key(), new_key(), new_key()
PINNED = pinned(KEY)


def asked(document: Any, known: GateFacts | None = None) -> Decision:
    return decide(parse_review(json.dumps(document).encode()), known or facts(PINNED))


# Keys.


def test_the_active_key_is_allowed() -> None:
    found = judge(facts(PINNED), csr(KEY, HOST))
    assert (found.allowed, f"every client of {HOST} accepts" in found.reason) == (True, True)


def test_a_host_that_no_version_has_is_not_said_to_accept_the_key() -> None:
    added = pinned(OTHER, host="shop.bank.example")
    both = replace(kit.pin_set(*PINNED.policies, *added.policies), version=2)
    found = judge(facts(both, publish(PINNED, 100 * DAY)), csr(OTHER, "shop.bank.example"))
    assert (found.allowed, "every client" in found.reason) == (True, False)
    assert found.reason.endswith("no version that clients may hold has shop.bank.example")


def test_a_new_key_is_refused_with_the_clients_at_risk() -> None:
    """With ``rotationPolicy: Always``, cert-manager makes a new key at each renewal."""
    found = judge(facts(PINNED), csr(OTHER, HOST))
    assert (found.allowed, found.code) == (False, 403)
    assert "is not adopted" in found.reason
    assert "at risk: 12 clients" in found.reason


def test_an_adopted_key_is_refused_until_it_is_recorded_as_active() -> None:
    """The webhook can't mark the key as ACTIVE, which keeps a used key in the pin file."""
    draft = pinned(KEY, pin_of(STAGED))
    found = judge(facts(draft), csr(STAGED, HOST))
    assert (found.allowed, "is PUBLISHED and not ACTIVE; fix: certpin" in found.reason) == (
        False,
        True,
    )
    switched = kit.pin_set(policy({pin_of(KEY): "active", pin_of(STAGED): "active"}))
    assert judge(facts(switched, publish(draft, 100 * DAY)), csr(STAGED, HOST)).allowed


def test_a_key_that_not_every_client_has_is_refused_until_they_do() -> None:
    old = pinned(KEY)
    new = replace(pinned(KEY, pin_of(STAGED)), version=2)
    active: dict[Any, State] = {pin_of(KEY): "active", pin_of(STAGED): "active"}
    draft = replace(kit.pin_set(policy(active)), version=2)
    before = facts(draft, publish(old, 100 * DAY), publish(new, 32 * DAY))
    assert "version 1 does not accept it" in judge(before, csr(STAGED, HOST)).reason
    after = facts(draft, publish(old, 100 * DAY), publish(new, 33 * DAY))
    assert judge(after, csr(STAGED, HOST)).allowed


def test_an_authoritys_key_is_refused_for_a_server() -> None:
    key = new_rsa_key()
    draft = pinned(key, match="any", roles={pin_of(key): "intermediate"})
    found = judge(facts(draft), csr(key, HOST))
    assert (found.allowed, "is an authority's key" in found.reason) == (False, True)


@pytest.mark.parametrize("name", [HOST, "elsewhere.example"])
def test_a_compromised_key_is_refused_for_every_name(name: str) -> None:
    stolen = Event(NOW - DAY, "ana", "compromise", host=HOST, pin=pin_of(OTHER))
    known = facts(PINNED, publish(PINNED, 100 * DAY), stolen)
    found = judge(known, csr(OTHER, name))
    assert (found.allowed, "COMPROMISED" in found.reason) == (False, True)


@pytest.mark.parametrize("name", [HOST, "elsewhere.example"])
def test_the_key_of_a_stolen_certificate_is_refused_for_every_name(name: str) -> None:
    """The journal has an observation of the certificate, with the key."""
    certificate = Pin("cert-sha256", kit.NOBODY.digest)
    stolen = Event(NOW - DAY, "ana", "compromise", host=HOST, pin=certificate)
    seen = Event(NOW - 9 * DAY, "ana", "observe", HOST, pin_of(OTHER), server=f"{HOST}:443")
    events = (publish(PINNED, 100 * DAY), replace(seen, certificate=certificate), stolen)
    found = judge(facts(PINNED, *events), csr(OTHER, name))
    assert (found.allowed, "COMPROMISED" in found.reason) == (False, True)


def test_a_key_that_is_compromised_in_the_draft_only_is_refused() -> None:
    states: dict[Any, State] = {pin_of(KEY): "active", kit.NOBODY: "published"}
    draft = kit.pin_set(policy({**states, pin_of(OTHER): "compromised"}))
    assert not judge(facts(draft, publish(PINNED, 100 * DAY)), csr(OTHER, "x.example")).allowed


# Names.


def test_a_host_that_is_not_pinned_is_allowed_with_any_key() -> None:
    found = judge(facts(PINNED), csr(OTHER, "www.elsewhere.example"))
    assert (found.allowed, "no client has pins" in found.reason) == (True, True)


def test_each_name_is_judged() -> None:
    both = kit.pin_set(*PINNED.policies, *pinned(OTHER, host="shop.bank.example").policies)
    found = judge(facts(both), csr(KEY, HOST, "free.example", "shop.bank.example"))
    assert (found.allowed, found.reason.startswith("shop.bank.example: ")) == (False, True)
    assert judge(facts(both), csr(KEY, HOST, "free.example")).allowed


@pytest.mark.parametrize("name", ["*.bank.example", "API.Bank.Example", "api.bank.example."])
def test_a_name_that_covers_the_host_is_judged(name: str) -> None:
    assert not judge(facts(PINNED), csr(OTHER, name)).allowed
    assert judge(facts(PINNED), csr(KEY, name)).allowed


def test_a_wildcard_covers_one_label_only() -> None:
    assert judge(facts(PINNED), csr(OTHER, "*.example")).allowed


def test_a_pinned_wildcard_covers_the_hosts_of_the_request() -> None:
    draft = pinned(KEY, host="*.bank.example")
    assert not judge(facts(draft), csr(OTHER, "any.bank.example")).allowed
    assert judge(facts(draft), csr(KEY, "any.bank.example")).allowed


def test_the_common_name_counts() -> None:
    """A CSR with the host only in its common name is refused: an ACME authority may certify it."""
    assert not judge(facts(PINNED), csr(OTHER, common_name=HOST)).allowed


def test_a_request_for_an_authority_is_judged_by_its_names() -> None:
    assert judge(facts(PINNED), csr(OTHER, common_name="Our CA", authority=True), isCA=True).allowed
    named = csr(OTHER, HOST, authority=True)
    assert not judge(facts(PINNED), named, isCA=True).allowed


@pytest.mark.parametrize(
    ("old_host", "name"),
    [
        ("www.bank.example", "www.bank.example"),
        ("www.bank.example", "*.bank.example"),
        ("*.bank.example", "www.bank.example"),
    ],
)
def test_a_host_that_only_old_versions_have_is_judged(old_host: str, name: str) -> None:
    old = kit.pin_set(*PINNED.policies, *pinned(OTHER, host=old_host).policies)
    draft = replace(PINNED, version=2)
    known = facts(draft, publish(old, 100 * DAY), publish(draft, DAY))
    found = judge(known, csr(KEY, name))
    assert (found.allowed, f"{name}: version 1 may refuse" in found.reason) == (False, True)
    later = facts(draft, publish(old, 100 * DAY), publish(draft, 40 * DAY))
    assert judge(later, csr(KEY, name)).allowed


# Authorities.

ROOT = Authority("Root")
ISSUER = ROOT.intermediate("Issuer")
CHAIN = (ISSUER.certificate, ROOT.certificate)
BY_ROOT = kit.pin_set(
    policy(
        {ROOT.pin: "active", kit.NOBODY: "published"},
        match="ca",
        roles={ROOT.pin: "root"},
        trust=kit.anchors(ROOT),
    )
)


def test_without_the_issuers_chain_a_pinned_authority_leaves_the_conclusion_open() -> None:
    found = judge(facts(BY_ROOT), csr(OTHER, HOST))
    assert (found.allowed, "it is open whether version 1 will accept" in found.reason) == (
        False,
        True,
    )


def test_a_new_key_under_a_pinned_root_is_allowed() -> None:
    known = facts(BY_ROOT, issuers={"ClusterIssuer/internal": [CHAIN]})
    assert judge(known, csr(OTHER, HOST)).allowed


def test_the_root_need_not_be_in_the_issuers_chain() -> None:
    known = facts(BY_ROOT, issuers={"ClusterIssuer/internal": [CHAIN[:1]]})
    assert judge(known, csr(OTHER, HOST)).allowed


def test_a_private_root_that_signs_itself_is_allowed() -> None:
    known = facts(BY_ROOT, issuers={"ClusterIssuer/internal": [CHAIN[1:]]})
    assert judge(known, csr(OTHER, HOST)).allowed


def test_a_root_that_signs_itself_is_accepted_if_it_is_one_of_the_platform() -> None:
    """The host's policy trusts the platform's roots, so the pinned root ends the path."""
    states: dict[Any, State] = {ROOT.pin: "active", kit.NOBODY: "published"}
    draft = kit.pin_set(policy(states, match="ca", roles={ROOT.pin: "root"}))
    known = facts(draft, issuers={"ClusterIssuer/internal": [CHAIN[1:]]})
    trusted = replace(known, roots=(ROOT.certificate.der,))
    assert judge(trusted, csr(OTHER, HOST)).allowed
    # Another client's platform may have the root, although this machine doesn't.
    assert judge(known, csr(OTHER, HOST)).allowed


def test_while_a_root_is_replaced_the_active_key_needs_the_issuers_chain() -> None:
    """The versions trust different anchors, so that the key doesn't show who trusts it."""
    new = Authority("New Root")
    before, draft = (
        kit.pin_set(
            policy({pin_of(KEY): "active", kit.NOBODY: "published"}, trust=kit.anchors(*roots)),
            version=version,
        )
        for version, roots in ((1, [ROOT]), (2, [ROOT, new]))
    )
    known = facts(draft, publish(before, 100 * DAY), publish(draft, DAY))
    found = judge(known, csr(KEY, HOST))
    assert not found.allowed
    assert found.reason.endswith(
        "fix: give the webhook the certificates with which the issuer signs, up to the root: "
        "--issuer-chain ClusterIssuer/internal=FILE"
    )
    below_old = replace(known, issuers={"ClusterIssuer/internal": [CHAIN]})
    assert judge(below_old, csr(KEY, HOST)).allowed
    below_new = replace(known, issuers={"ClusterIssuer/internal": [(new.certificate,)]})
    assert not judge(below_new, csr(KEY, HOST)).allowed


def test_a_version_without_the_host_refuses_no_chain() -> None:
    """A root that no platform has is in the issuer's chain, as the option asks for it."""
    pinned_host = policy({pin_of(KEY): "active", kit.NOBODY: "published"}, trust=kit.anchors(ROOT))
    draft = kit.pin_set(pinned_host, version=2)
    before = pinned(OTHER, host="shop.bank.example")
    known = facts(draft, publish(before, DAY), publish(draft, DAY))
    for chain in (CHAIN, CHAIN[:1]):
        below = replace(known, issuers={"ClusterIssuer/internal": [chain]})
        assert judge(below, csr(KEY, HOST)).allowed


def test_another_issuers_chain_proves_nothing() -> None:
    known = facts(BY_ROOT, issuers={"ClusterIssuer/other": [CHAIN]})
    assert not judge(known, csr(OTHER, HOST)).allowed


def test_each_chain_of_an_issuer_must_be_accepted() -> None:
    stranger = Authority("Stranger")
    chains = [CHAIN, (stranger.certificate,)]
    known = facts(BY_ROOT, issuers={"ClusterIssuer/internal": chains})
    assert not judge(known, csr(OTHER, HOST)).allowed


def test_a_chain_with_a_compromised_authority_is_refused() -> None:
    states: dict[Any, State] = {ROOT.pin: "active", ISSUER.pin: "compromised"}
    draft = kit.pin_set(
        policy(
            {**states, kit.NOBODY: "published"},
            match="ca",
            roles={ROOT.pin: "root"},
            trust=kit.anchors(ROOT),
        )
    )
    known = facts(draft, issuers={"ClusterIssuer/internal": [CHAIN]})
    assert not judge(known, csr(OTHER, HOST)).allowed


@pytest.mark.parametrize(
    ("reference", "names"),
    [
        ({"name": "a"}, ("Issuer/bank/a",)),
        ({"name": "a", "kind": "Issuer", "group": "cert-manager.io"}, ("Issuer/bank/a",)),
        ({"name": "a", "kind": "ClusterIssuer"}, ("ClusterIssuer/a",)),
        (
            {"name": "a", "kind": "AWSPCAIssuer", "group": "awspca.cert-manager.io"},
            ("AWSPCAIssuer.awspca.cert-manager.io/a", "AWSPCAIssuer.awspca.cert-manager.io/bank/a"),
        ),
        (
            {"name": "a", "kind": "ClusterIssuer", "group": "other.example"},
            ("ClusterIssuer.other.example/a", "ClusterIssuer.other.example/bank/a"),
        ),
    ],
)
def test_the_names_of_an_issuer(reference: dict[str, str], names: tuple[str, ...]) -> None:
    document = review(certificate_request(csr(KEY, HOST), issuerRef=reference))
    assert issuer_names(parse_review(json.dumps(document).encode())) == names


# Operations, kinds and broken requests.


@pytest.mark.parametrize(
    "kind",
    [
        {"group": "cert-manager.io", "version": "v1", "kind": "Certificate"},
        {"group": "cert-manager.io", "version": "v1beta1", "kind": "CertificateRequest"},
        {"group": "certificates.k8s.io", "version": "v1", "kind": "CertificateSigningRequest"},
        {"kind": "CertificateRequest"},
        "CertificateRequest",
        None,
    ],
)
def test_another_kind_is_refused(kind: Any) -> None:
    found = asked(review(certificate_request(csr(KEY, HOST)), kind=kind))
    assert (found.allowed, "correct the rules" in found.reason) == (False, True)


def test_a_deletion_is_allowed() -> None:
    found = asked(review(None, certificate_request(csr(OTHER, HOST)), "DELETE"))
    assert found.allowed


def test_an_update_that_leaves_the_specification_is_allowed() -> None:
    old = certificate_request(csr(OTHER, HOST))
    new = {**old, "metadata": {**old["metadata"], "labels": {"a": "b"}}}
    assert asked(review(new, old, "UPDATE")).allowed


def test_an_update_with_another_csr_is_judged() -> None:
    old, new = (certificate_request(csr(key, HOST)) for key in (KEY, OTHER))
    assert not asked(review(new, old, "UPDATE")).allowed
    assert asked(review(old, new, "UPDATE")).allowed


def test_an_update_without_a_specification_is_refused() -> None:
    assert not asked(review({}, {}, "UPDATE")).allowed


@pytest.mark.parametrize("operation", ["CONNECT", "create", "", None])
def test_another_operation_is_refused(operation: Any) -> None:
    found = asked(review(certificate_request(csr(KEY, HOST)), operation=operation))
    assert (found.allowed, "can't be judged" in found.reason) == (False, True)


GOOD = csr(KEY, HOST)
BROKEN = {
    "missing": None,
    "empty": "",
    "a number": 7,
    "not base64": "§§§",
    "no PEM": base64.b64encode(b"hello").decode(),
    "two CSRs": base64.b64encode(GOOD + csr(OTHER, HOST)).decode(),
    "text before": base64.b64encode(b"x\n" + GOOD).decode(),
    "a certificate": base64.b64encode(ROOT.pem).decode(),
    "too large": base64.b64encode(GOOD + b"\n" * 200_000).decode(),
    "cut": base64.b64encode(GOOD.replace(GOOD[60:90], b"", 1)).decode(),
}


@pytest.mark.parametrize("value", BROKEN.values(), ids=BROKEN.keys())
def test_a_csr_that_cannot_be_read_is_refused(value: Any) -> None:
    found = asked(review(certificate_request(GOOD, request=value)))
    assert (found.allowed, "spec.request can't be read" in found.reason) == (False, True)


def test_a_csr_with_a_wrong_signature_is_refused() -> None:
    der = base64.b64decode(b"".join(GOOD.splitlines()[1:-1]))
    changed = der.replace(HOST.encode(), b"apj.bank.example")
    assert len(changed) == len(der)
    pem = b"-----BEGIN CERTIFICATE REQUEST-----\n%b\n-----END CERTIFICATE REQUEST-----\n"
    found = judge(facts(PINNED), pem % base64.b64encode(changed))
    assert (found.allowed, "signature" in found.reason) == (False, True)


def test_hostile_names_are_harmless() -> None:
    names = ["*", "*.", ".", "a" * 300 + ".example", "127.1", "*.*.bank.example", "b@d"]
    assert judge(facts(PINNED), csr(OTHER, *names)).allowed


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"[]",
        b"null",
        b"[" * 100_000,
        b"{}",
        json.dumps(review(None) | {"apiVersion": "admission.k8s.io/v1beta1"}).encode(),
        json.dumps(review(None) | {"kind": "Review"}).encode(),
        json.dumps(review(None, uid="")).encode(),
        json.dumps(review(None, uid=7)).encode(),
        json.dumps(review(None, uid="x" * 257)).encode(),
        json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}).encode(),
    ],
)
def test_what_is_no_review_has_no_answer(body: bytes) -> None:
    with pytest.raises(InputError):
        parse_review(body)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=8,
)


@pytest.mark.medium
@given(st.fixed_dictionaries({"spec": _JSON, "metadata": _JSON}) | _JSON, _JSON)
def test_no_object_of_any_shape_is_allowed(new: Any, old: Any) -> None:
    assert not asked(review(new, old)).allowed


# Time.


def test_clocks_that_differ_are_refused() -> None:
    late = facts(PINNED, now=NOW + timedelta(minutes=6))
    assert "differ by more than 5 minutes" in judge(late, csr(KEY, HOST)).reason
    assert judge(facts(PINNED, now=NOW + timedelta(minutes=4)), csr(KEY, HOST)).allowed


def test_a_clock_behind_the_journal_is_refused() -> None:
    early = facts(PINNED, publish(PINNED, -10 * DAY))
    assert "behind the journal" in judge(early, csr(KEY, HOST)).reason


@pytest.mark.parametrize("written", [None, "", "soon", "2027-03-01T12:00:00"])
def test_without_the_api_servers_time_no_version_has_ended(written: Any) -> None:
    """Otherwise, if the local clock is ahead, a key that clients refuse would look safe."""
    old = pinned(KEY)
    active: dict[Any, State] = {pin_of(KEY): "active", pin_of(STAGED): "active"}
    new = replace(kit.pin_set(policy(active)), version=2)
    known = facts(new, publish(old, 100 * DAY), publish(new, 40 * DAY))
    document = review(certificate_request(csr(STAGED, HOST)))
    assert asked(document, known).allowed
    document["request"]["object"]["metadata"]["creationTimestamp"] = written
    assert not asked(document, known).allowed


# Answers.


def test_an_allowed_request_has_an_answer() -> None:
    assert review_json(UID, Decision(allowed=True, reason="fine")) == {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": {"uid": UID, "allowed": True},
    }


def test_a_refused_request_has_its_reason_in_the_answer() -> None:
    response = review_json(UID, Decision(allowed=False, reason="x" * 9000, code=403))["response"]
    assert (response["allowed"], response["status"]["code"]) == (False, 403)
    assert response["status"]["reason"] == "Forbidden"
    assert response["status"]["message"] == ("certpin: " + "x" * 9000)[:4096]


def test_reasons_are_printable() -> None:
    """A host may have a soft hyphen, which is ignored (UTS #46). The printed reason escapes it."""
    old = kit.pin_set(*PINNED.policies, *pinned(OTHER, host="www.bank.example").policies)
    known = facts(replace(PINNED, version=2), publish(old, 100 * DAY))
    found = judge(known, csr(KEY, common_name="www\xad.bank.example"))
    assert (found.allowed, "www\\xad.bank.example: version 1 may" in found.reason) == (False, True)


def test_without_a_published_version_a_pinned_name_is_refused() -> None:
    empty = replace(facts(PINNED), history=replace(facts(PINNED).history, events=()))
    assert not judge(empty, csr(KEY, HOST)).allowed
