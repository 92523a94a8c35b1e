"""Strictness about RFC 5280: the default of the running Python, or the setting in the pin file."""

from __future__ import annotations

import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from certpin import PinnedSSLContext, TrustAnchors, UnverifiedChainError
from certpin.cli.options import chain_fix
from certpin.lab import Authority, Identity
from certpin.probe import ContextCache, Endpoint, Observation, probe_context
from certpin.x509 import Chain
from certpin.x509.openssl import STRICT_BY_DEFAULT
from tests import kit
from tests.tls._handshakes import HOST, connect

if TYPE_CHECKING:
    from certpin import HostPolicy

STRICT = ssl.VERIFY_X509_STRICT
MISSING_KEY_USAGE = 92  # X509_V_ERR_CA_CERT_MISSING_KEY_USAGE


@pytest.fixture(scope="module")
def private() -> tuple[bytes, Identity]:
    """Return a private root as DER, and the identity of a server that it issued.

    The root has no keyUsage, like one that `openssl req -x509` makes.
    """
    now = datetime.now(UTC)
    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    name = x509.Name.from_rfc4514_string("CN=Private")
    root_id = x509.SubjectKeyIdentifier.from_public_key(root_key.public_key())
    builder = x509.CertificateBuilder().not_valid_before(now - timedelta(days=1))
    builder = builder.not_valid_after(now + timedelta(days=9)).issuer_name(name)
    root = (
        builder.subject_name(name)
        .public_key(root_key.public_key())
        .serial_number(1)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(root_id, critical=False)
        .sign(root_key, hashes.SHA256())
    )
    authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(root_id)
    leaf_id = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    leaf = (
        builder.subject_name(x509.Name.from_rfc4514_string(f"CN={HOST}"))
        .public_key(key.public_key())
        .serial_number(2)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .add_extension(leaf_id, critical=False)
        .add_extension(authority, critical=False)
        .sign(root_key, hashes.SHA256())
    )
    return root.public_bytes(Encoding.DER), Identity(key, (leaf,))


def policy(private: tuple[bytes, Identity], strict: bool | None, host: str = HOST) -> HostPolicy:
    root, server = private
    trust = TrustAnchors((root,), "private-ca.pem", strict)
    return replace(kit.policy(host, server.pin), trust=trust)


def test_by_default_a_context_is_as_strict_as_pythons() -> None:
    by_python = ssl.create_default_context().verify_flags & STRICT
    assert bool(by_python) == STRICT_BY_DEFAULT
    ours = PinnedSSLContext(kit.pin_set(kit.policy(HOST)))
    assert ours.verify_flags & STRICT == probe_context().verify_flags & STRICT == by_python


def test_a_private_root_without_key_usage_is_accepted_if_the_pin_file_says_so(
    private: tuple[bytes, Identity],
) -> None:
    connect(PinnedSSLContext(kit.pin_set(policy(private, False))), private[1])


def test_a_private_root_that_works_with_this_python_works_with_pins(
    private: tuple[bytes, Identity],
) -> None:
    context = PinnedSSLContext(kit.pin_set(policy(private, None)))
    plain = ssl.create_default_context(cadata=private[0])
    for each in (plain, context):
        if STRICT_BY_DEFAULT:
            with pytest.raises(ssl.SSLCertVerificationError, match="does not include key usage"):
                connect(each, private[1])
        else:
            connect(each, private[1])


def test_a_strict_refusal_names_the_rule_and_the_fix(private: tuple[bytes, Identity]) -> None:
    context = PinnedSSLContext(kit.pin_set(policy(private, True)))
    with pytest.raises(UnverifiedChainError, match="does not include key usage") as caught:
        connect(context, private[1])
    assert caught.value.verify_code == MISSING_KEY_USAGE
    assert "RFC 5280 section 4.2.1.3" in caught.value.fix
    assert "strict_x509 = false" in caught.value.fix


def test_each_host_with_a_trust_file_has_its_strictness(
    private: tuple[bytes, Identity],
) -> None:
    pins = kit.pin_set(policy(private, False), policy(private, True, f"*.{HOST}"))
    context = PinnedSSLContext(pins)
    connect(context, private[1])
    with pytest.raises(ssl.SSLCertVerificationError, match="does not include key usage"):
        connect(context, private[1], f"a.{HOST}")


def test_a_swap_to_strict_takes_effect(private: tuple[bytes, Identity]) -> None:
    context = PinnedSSLContext(kit.pin_set(policy(private, False)))
    connect(context, private[1])
    context.swap(kit.pin_set(policy(private, True), version=2))
    with pytest.raises(ssl.SSLCertVerificationError, match="does not include key usage"):
        connect(context, private[1])


@pytest.mark.parametrize("strict", [True, False, None])
def test_the_probe_is_as_strict_as_clients_are(strict: bool | None) -> None:
    trust = replace(kit.anchors(Authority("Strict")), strict=strict)
    expected = STRICT_BY_DEFAULT if strict is None else strict
    assert bool(ContextCache().get(trust).verify_flags & STRICT) == expected


def test_the_commands_name_the_rule(private: tuple[bytes, Identity]) -> None:
    served = Chain((private[1].certificate,))
    seen = Observation(
        *(Endpoint(HOST, 443), "192.0.2.1", "TLSv1.3", served, None),
        *("CA cert does not include key usage extension", MISSING_KEY_USAGE),
    )
    assert "RFC 5280 section 4.2.1.3" in chain_fix(seen)
