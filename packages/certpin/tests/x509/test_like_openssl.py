"""Nothing is accepted that OpenSSL would read differently: tested with damaged certificates.

pyOpenSSL is the interface to OpenSSL here: it writes the parsed certificate again.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import certifi
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from OpenSSL import crypto

from certpin.errors import CertificateParseError
from certpin.lab import Authority
from certpin.x509 import Certificate
from certpin.x509.certificate import read_certificates
from tests.x509._tree import (
    Node,
    padded_length,
    parse,
    replaced,
    with_content,
    with_indefinite_length,
    with_padded_length,
    with_tag,
    without_last,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.x509._tree import Change

DESCRIPTIONS = ("subject", "issuer", "not_before", "not_after", "serial_number", "key", "names")


def _fresh() -> list[bytes]:
    """Return a DER certificate for each kind of key, with DNS names and IP addresses."""
    authority = Authority("Like OpenSSL")
    keys = (
        rsa.generate_private_key(65537, 2048),
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP521R1()),
        ed25519.Ed25519PrivateKey.generate(),
        ed448.Ed448PrivateKey.generate(),
    )
    names = ("like.example", "*.like.example", "192.0.2.1", "2001:db8::1")
    return [authority.issue(*names, key=key).certificate.der for key in keys]


BUNDLE = [each.der for each in read_certificates(Path(certifi.where()).read_bytes())]
CERTIFICATES = [*_fresh(), *BUNDLE[::12]]


def openssl_certificate(der: bytes) -> tuple[bytes | None, bytes | None]:
    """Return a certificate and its SPKI as OpenSSL encodes them after it parsed ``der``.

    Each is ``None`` if OpenSSL refuses to read it.
    """
    try:
        certificate = crypto.load_certificate(crypto.FILETYPE_ASN1, der)
    except crypto.Error:
        return None, None
    whole = crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate)
    with suppress(crypto.Error):
        return whole, crypto.dump_publickey(crypto.FILETYPE_ASN1, certificate.get_pubkey())
    return whole, None


@pytest.mark.parametrize("number", range(len(CERTIFICATES)))
def test_certpin_and_openssl_read_the_same_certificate(number: int) -> None:
    certificate = Certificate.from_der(CERTIFICATES[number])
    assert openssl_certificate(certificate.der) == (certificate.der, certificate.spki)


def _agrees_with_openssl(der: bytes) -> None:
    try:
        certificate = Certificate.from_der(der)
    except CertificateParseError:
        return
    whole, spki = openssl_certificate(der)
    assert whole in {None, certificate.der}
    assert spki in {None, certificate.spki}
    _describes_safely(certificate)


def _describes_safely(certificate: Certificate) -> None:
    for name in DESCRIPTIONS:
        with suppress(CertificateParseError):
            assert str(getattr(certificate, name)).isprintable()


@st.composite
def with_other_bytes(draw: st.DrawFn) -> bytes:
    """Draw a certificate with some bytes replaced, removed or inserted."""
    der = bytearray(draw(st.sampled_from(CERTIFICATES)))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(der) - 1))
        taken = draw(st.integers(0, 2))
        der[place : place + taken] = draw(st.binary(max_size=2))
    return bytes(der)


@pytest.mark.medium
@given(with_other_bytes())
@settings(max_examples=400)
def test_changed_bytes_are_refused_or_read_as_by_openssl(der: bytes) -> None:
    _agrees_with_openssl(der)


def _paths(node: Node, path: tuple[int, ...] = ()) -> list[tuple[int, ...]]:
    below = [_paths(child, (*path, index)) for index, child in enumerate(node.children)]
    return [path, *(each for paths in below for each in paths)]


TREES = [parse(der) for der in CERTIFICATES]
PATHS = [_paths(tree) for tree in TREES]
# The algorithms and the key, if OpenSSL writes the parsed certificate again.
_KEY_OR_ALGORITHM = [
    [path for path in paths if path[:1] == (1,) or path[:2] == (0, 6)] for paths in PATHS
]


def _inside_bits(change: Change) -> Change:
    """Return a change that applies ``change`` to the DER inside a BIT STRING, as in RSA keys.

    A BIT STRING without DER inside stays unchanged.
    """

    def changed(node: Node) -> Node:
        with suppress(IndexError, AssertionError):
            inner = parse(node.content[1:])
            return Node(node.tag, node.content[:1] + change(inner).encode())
        return node

    return changed


def _first_child(change: Change) -> Change:
    def changed(node: Node) -> Node:
        assume(node.children)
        return Node(node.tag, b"", (change(node.children[0]), *node.children[1:]))

    return changed


SHAPES: list[Callable[[Node], Node]] = [
    with_padded_length,
    with_indefinite_length,
    without_last,
    lambda node: Node(node.tag, node.content + b"\0", node.children),
    lambda node: Node(node.tag, b"\0" + node.content, node.children),
    lambda node: Node(node.tag, node.content[:-1], node.children),
    lambda node: Node(node.tag, node.content[1:], node.children),
    lambda node: Node(node.tag, node.content, (*node.children, Node(0x05))),
    lambda node: Node(node.tag | 0x20, Node(node.tag, node.content).encode(), length=padded_length),
]
CHANGES = st.one_of(
    st.sampled_from(SHAPES),
    st.integers(0, 255).map(with_tag),
    st.binary(max_size=4).map(with_content),
)
ANY_CHANGE = CHANGES | CHANGES.map(_inside_bits) | CHANGES.map(_first_child).map(_inside_bits)


@st.composite
def with_another_shape(draw: st.DrawFn) -> bytes:
    """Draw a certificate with a change in the structure of one value. All lengths are right."""
    number = draw(st.integers(0, len(TREES) - 1))
    path = draw(st.sampled_from(PATHS[number]) | st.sampled_from(_KEY_OR_ALGORITHM[number]))
    change = draw(ANY_CHANGE)
    return replaced(TREES[number], path, change).encode()


@pytest.mark.slow
@given(with_another_shape())
@settings(max_examples=800)
def test_a_changed_structure_is_refused_or_read_as_by_openssl(der: bytes) -> None:
    _agrees_with_openssl(der)


def test_the_changes_affect_the_fields_that_are_read() -> None:
    """certpin and OpenSSL both read a changed name or key.

    Otherwise the tests with random changes would prove nothing.
    """
    labels = re.sub(rb"like\.example", b"mild.example", CERTIFICATES[0])
    assert Certificate.from_der(labels).names[0] == "mild.example"
    assert openssl_certificate(labels)[1] == Certificate.from_der(labels).spki
