"""Cases of weak keys and digests, which the lab does not judge, and of a missing intermediate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from certpin.lab.client import Call
from certpin.lab.lab import Lab
from certpin.lab.pki import Style
from certpin.lab.runner import prove
from certpin.lab.verdict import Outcome, Verdict
from certpin.x509 import Certificate
from tests.lab._clients import BY_NAME, request, right_client, run_case, trusting
from tests.lab.attacks._forged import Forged

if TYPE_CHECKING:
    import ssl

    from certpin.lab.target import Target

pytestmark = pytest.mark.slow  # whole runs; test_matrix.py is quick

PROBLEM = {
    "weak-key-rsa-1024": "CA certificate key too weak",
    "weak-digest-sha1": "CA signature digest algorithm too weak",
    "weak-digest-md5": "CA signature digest algorithm too weak",
}


@pytest.mark.peer("openssl")
@pytest.mark.parametrize("name", PROBLEM)
def test_only_the_strength_is_wrong(name: str) -> None:
    forged = Forged(name)
    assert PROBLEM[name] in forged.openssl("-auth_level", "2")
    assert forged.openssl("-auth_level", "0") == ""
    assert forged.has_the_pinned_key


def test_the_key_of_the_intermediate_has_1024_bits() -> None:
    key = Forged("weak-key-rsa-1024").chain[1].public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    assert key.key_size == 1024


@pytest.mark.parametrize("digest", ["sha1", "md5"])
def test_the_signature_is_good_and_over_that_digest(digest: str) -> None:
    forged = Forged(f"weak-digest-{digest}")
    leaf, issuer = forged.chain
    algorithm = leaf.signature_hash_algorithm
    key = issuer.public_key()
    assert algorithm
    assert algorithm.name == digest
    assert isinstance(key, rsa.RSAPublicKey)
    key.verify(leaf.signature, leaf.tbs_certificate_bytes, padding.PKCS1v15(), algorithm)
    der = leaf.public_bytes(Encoding.DER)
    assert Certificate.from_der(der).der == der, "strict DER"


def _lax(target: Target) -> str:
    context = trusting(target)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    return request(target, context)


@pytest.mark.parametrize("name", PROBLEM)
def test_any_behaviour_is_reported_without_judgement(name: str) -> None:
    lax = run_case(name, Call(_lax), Style.NONE)
    right = run_case(name, right_client(Style.NONE), Style.NONE)
    assert (lax.verdict, right.verdict) == (Verdict.ACCEPT, Verdict.REJECT)
    assert lax.outcome is right.outcome is Outcome.TOLD


def test_only_the_leaf_is_sent_and_it_has_no_issuer_url() -> None:
    forged = Forged("missing-intermediate")
    assert forged.chain == [forged.pki.leaf.chain[0]]
    with pytest.raises(x509.ExtensionNotFound):
        forged.leaf.extensions.get_extension_for_class(x509.AuthorityInformationAccess)


def test_without_the_intermediate_both_are_right() -> None:
    """A client with a cached intermediate accepts, one without it refuses, and both pass."""
    case = BY_NAME["missing-intermediate"]
    with Lab(style=Style.NONE) as lab:
        pem = lab.authorities.intermediate.pem.decode()

        def remembering(target: Target) -> ssl.SSLContext:
            context = trusting(target)
            context.load_verify_locations(cadata=pem)
            return context

        client = Call(lambda target: request(target, remembering(target)))
        kept, plain = (
            prove(lab, caller, [case]).results[1] for caller in (client, right_client(Style.NONE))
        )
    assert (kept.verdict, plain.verdict) == (Verdict.ACCEPT, Verdict.REJECT)
    assert kept.outcome is plain.outcome is Outcome.RIGHT
