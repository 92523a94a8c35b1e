"""Only strict DER is read (X.690 section 10): one key, one encoding, one digest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certpin.errors import CertificateParseError, InputError, KeyParseError
from certpin.lab import Authority
from certpin.x509 import Certificate, Chain, keys
from certpin.x509.certificate import MAX_CERTIFICATE_BYTES, read_items
from certpin.x509.keys import PublicKey
from tests.x509._tree import (
    Node,
    changed,
    parse,
    with_content,
    with_indefinite_length,
    with_more,
    with_padded_length,
    with_tag,
    without_last,
)

if TYPE_CHECKING:
    from tests.x509._tree import Change

# The paths of fields in a certificate (RFC 5280 section 4.1), and in its SPKI.
TBS, SIGNATURE_ALGORITHM, SIGNATURE = (0,), (1,), (2,)
VERSION, SERIAL, ISSUER, SPKI, EXTENSIONS = (0, 0), (0, 1), (0, 3), (0, 6), (0, 7)
ALGORITHM, KEY_BITS = (0,), (1,)

NULL = Node(0x05)
SALT = Node(0x02, b"\x20")


def _nested(levels: int) -> Node:
    node = NULL
    for _ in range(levels):
        node = Node(0x30, children=(node,))
    return node


@pytest.fixture(scope="module")
def der() -> bytes:
    return Authority("Strict").issue("strict.example").certificate.der


@pytest.fixture(scope="module")
def rsa_spki() -> bytes:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    return (
        rsa.generate_private_key(65537, 2048)
        .public_key()
        .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def _refused(data: bytes) -> None:
    with pytest.raises(CertificateParseError, match=r"not an X\.509 certificate in DER") as caught:
        Certificate.from_der(data)
    assert caught.value.fix


def _key(data: bytes) -> PublicKey:
    (item,) = read_items(data)
    assert isinstance(item, PublicKey)
    return item


EVERYWHERE = {
    "the certificate": (),
    "its signed part": TBS,
    "its signature algorithm": SIGNATURE_ALGORITHM,
    "its signature": SIGNATURE,
    "its serial number": SERIAL,
    "its issuer": ISSUER,
    "its key": SPKI,
}


@pytest.mark.parametrize("place", EVERYWHERE)
@pytest.mark.parametrize("change", [with_padded_length, with_indefinite_length])
def test_a_length_in_ber_is_refused(der: bytes, place: str, change: Change) -> None:
    _refused(changed(der, EVERYWHERE[place], change))


OTHER_CERTIFICATES: dict[str, tuple[tuple[int, ...], Change]] = {
    "a SET": ((), with_tag(0x31)),
    "something after the signature": ((), with_more(NULL)),
    "no signature": ((), without_last),
    "a SET to be signed": (TBS, with_tag(0x31)),
    "something after the extensions": (TBS, with_more(NULL)),
    "extensions twice": (TBS, with_more(Node(0xA3, children=(Node(0x30),)))),
    "a version under another tag": (VERSION, with_tag(0xA4)),
    "a serial number under another tag": (SERIAL, with_tag(0x0A)),
    "a serial number of no octets": (SERIAL, with_content(b"")),
    "a padded serial number": (SERIAL, with_content(b"\0\1")),
    "extensions under another tag": (EXTENSIONS, with_tag(0xA5)),
    "a signature of no octets": (SIGNATURE, with_content(b"")),
    "a signature with bits that are not used": (SIGNATURE, with_content(b"\1\1")),
    "a signature in pieces": (SIGNATURE, with_tag(0x23)),
    "a signature algorithm in a SET": (SIGNATURE_ALGORITHM, with_tag(0x31)),
    "no signature algorithm": (SIGNATURE_ALGORITHM, without_last),
    "two parameters": (SIGNATURE_ALGORITHM, with_more(NULL, NULL)),
    "a text for parameters": (SIGNATURE_ALGORITHM, with_more(Node(0x0C))),
    "parameters in BER": (SIGNATURE_ALGORITHM, with_more(with_padded_length(NULL))),
    "a relative OID": ((*SIGNATURE_ALGORITHM, 0), with_tag(0x0D)),
}


@pytest.mark.parametrize("what", OTHER_CERTIFICATES)
def test_a_certificate_with_another_structure_is_refused(der: bytes, what: str) -> None:
    path, change = OTHER_CERTIFICATES[what]
    _refused(changed(der, path, change))


OTHER_KEYS: dict[str, tuple[tuple[int, ...], Change]] = {
    "a SET": ((), with_tag(0x31)),
    "something after the key": ((), with_more(NULL)),
    "an algorithm in BER": (ALGORITHM, with_padded_length),
    "two parameters": (ALGORITHM, with_more(NULL)),
    "an algorithm in a SET": (ALGORITHM, with_tag(0x31)),
    "an OID in BER": ((*ALGORITHM, 0), with_padded_length),
    "a relative OID": ((*ALGORITHM, 0), with_tag(0x0D)),
    "parameters in BER": ((*ALGORITHM, 1), with_padded_length),
    "an OCTET STRING for parameters": ((*ALGORITHM, 1), with_tag(0x04)),
    "a key in BER": (KEY_BITS, with_padded_length),
    "an OCTET STRING for a key": (KEY_BITS, with_tag(0x04)),
    "no key": (KEY_BITS, with_content(b"")),
}


@pytest.mark.parametrize("what", OTHER_KEYS)
def test_a_key_with_another_structure_is_refused(der: bytes, what: str) -> None:
    path, change = OTHER_KEYS[what]
    _refused(changed(der, (*SPKI, *path), change))
    with pytest.raises(InputError):
        read_items(changed(Certificate.from_der(der).spki, path, change))


def test_a_key_with_unused_bits_is_refused(der: bytes) -> None:
    """OpenSSL drops unused bits when it encodes the key again: one key would have two digests."""
    point = parse(Certificate.from_der(der).spki).children[1].content
    even = point[:-1] + bytes([point[-1] & 0xFE])
    Certificate.from_der(changed(der, (*SPKI, *KEY_BITS), with_content(even)))
    _refused(changed(der, (*SPKI, *KEY_BITS), with_content(b"\1" + even[1:])))


def _rsa(change: Change, *path: int) -> Change:
    """Return a change of a BIT STRING that applies ``change`` at ``path`` in the RSA key inside."""
    return lambda bits: Node(bits.tag, b"\0" + changed(bits.content[1:], path, change))


def _widened(number: Node) -> Node:
    return Node(number.tag, b"\0" + number.content)


def _negative(number: Node) -> Node:
    return Node(number.tag, number.content[1:])


OTHER_RSA_KEYS: dict[str, tuple[tuple[int, ...], Change]] = {
    "numbers in BER": (KEY_BITS, _rsa(with_padded_length)),
    "a modulus in BER": (KEY_BITS, _rsa(with_padded_length, 0)),
    "an exponent in BER": (KEY_BITS, _rsa(with_padded_length, 1)),
    "a padded modulus": (KEY_BITS, _rsa(_widened, 0)),
    "a negative modulus": (KEY_BITS, _rsa(_negative, 0)),
    "a modulus of 0": (KEY_BITS, _rsa(with_content(b"\0"), 0)),
    "a negative exponent": (KEY_BITS, _rsa(with_content(b"\x81"), 1)),
    "a third number": (KEY_BITS, _rsa(with_more(SALT))),
    "one number": (KEY_BITS, _rsa(without_last)),
    "no numbers": (KEY_BITS, with_content(b"\0")),
    # OpenSSL adds the NULL when it writes the key again, and RFC 3279 section 2.3.1 demands it.
    "no parameters": (ALGORITHM, without_last),
    "parameters that are not NULL": ((*ALGORITHM, 1), lambda _: Node(0x06, b"\x2a")),
}


@pytest.mark.medium
@pytest.mark.parametrize("what", OTHER_RSA_KEYS)
def test_an_rsa_key_that_openssl_would_write_differently_is_refused(
    rsa_spki: bytes, what: str
) -> None:
    path, change = OTHER_RSA_KEYS[what]
    assert _key(rsa_spki).spki == rsa_spki
    with pytest.raises(KeyParseError, match="not a public key in DER"):
        keys.public_key(changed(rsa_spki, path, change))


@pytest.mark.parametrize("what", [what for what in OTHER_RSA_KEYS if "parameters" not in what])
def test_an_rsa_pss_key_that_openssl_would_write_differently_is_refused(
    rsa_spki: bytes, what: str
) -> None:
    path, change = OTHER_RSA_KEYS[what]
    with pytest.raises(KeyParseError, match="not a public key in DER"):
        keys.public_key(changed(_pss(rsa_spki), path, change))


RSA_PSS = bytes.fromhex("2a864886f70d01010a")
SHA256 = Node(0x30, children=(Node(0x06, bytes.fromhex("608648016503040201")), NULL))


def _pss(rsa_spki: bytes, *parameters: Node) -> bytes:
    algorithm = Node(0x30, children=(Node(0x06, RSA_PSS), *parameters))
    return changed(rsa_spki, ALGORITHM, lambda _: algorithm)


def _parameters(hash_: Node = SHA256, salt: Node = SALT) -> Node:
    return Node(0x30, children=(Node(0xA0, children=(hash_,)), Node(0xA2, children=(salt,))))


def test_rsa_pss_parameters_are_part_of_the_digest(rsa_spki: bytes) -> None:
    plain, any_hash = _key(rsa_spki), _key(_pss(rsa_spki))
    sha256 = _key(_pss(rsa_spki, _parameters()))
    assert len({each.spki_sha256 for each in (plain, any_hash, sha256)}) == 3
    assert sha256.spki == _pss(rsa_spki, _parameters())


OTHER_PARAMETERS = {
    "a padded number": _parameters(salt=Node(0x02, b"\0\x20")),
    "a number in BER": _parameters(salt=with_padded_length(SALT)),
    "a hash in BER": _parameters(hash_=with_padded_length(SHA256)),
    "a hash of indefinite length": _parameters(hash_=with_indefinite_length(SHA256)),
    "a string in pieces": _parameters(hash_=Node(0x24, children=(Node(0x04, b"x"),))),
    "deeper than any algorithm": _nested(20),
}


@pytest.mark.parametrize("what", OTHER_PARAMETERS)
def test_rsa_pss_parameters_in_ber_are_refused(rsa_spki: bytes, what: str) -> None:
    with pytest.raises(KeyParseError, match="not a public key in DER"):
        keys.public_key(_pss(rsa_spki, OTHER_PARAMETERS[what]))


def test_every_truncated_certificate_is_refused(der: bytes) -> None:
    for count in range(len(der)):
        _refused(der[:count])


@pytest.mark.parametrize("more", [b"\0", b"\0\0", b"\n", b"\x05\0"])
def test_bytes_after_a_certificate_are_refused(der: bytes, more: bytes) -> None:
    _refused(der + more)


@pytest.mark.parametrize(
    "junk",
    [
        "",
        "30",
        "3080",
        "3084ffffffff",
        "3088ffffffffffffffff",
        "30ff" + "ff" * 127,
        "1fffffffff7f0100",
    ],
)
def test_impossible_lengths_and_tags_are_refused(junk: str) -> None:
    _refused(bytes.fromhex(junk))
    with pytest.raises(InputError):
        read_items(bytes.fromhex(junk))


def test_a_certificate_too_large_for_a_handshake_is_refused() -> None:
    with pytest.raises(
        CertificateParseError, match="larger than OpenSSL's clients accept"
    ) as caught:
        Certificate.from_der(b"\x30" * (MAX_CERTIFICATE_BYTES + 1))
    assert str(MAX_CERTIFICATE_BYTES) in caught.value.fix


def test_an_empty_chain_is_refused() -> None:
    with pytest.raises(CertificateParseError, match="the chain is empty"):
        Chain.from_der([])


def test_a_chain_with_an_unreadable_certificate_is_refused(der: bytes) -> None:
    with pytest.raises(CertificateParseError):
        Chain.from_der([der, der[:-1]])


@given(st.binary(max_size=400) | st.binary(max_size=200).map(lambda data: b"\x30\x81" + data))
def test_junk_raises_the_typed_errors_and_nothing_else(data: bytes) -> None:
    with pytest.raises(CertificateParseError):
        Certificate.from_der(data)
    with pytest.raises((CertificateParseError, KeyParseError)):
        read_items(data)
