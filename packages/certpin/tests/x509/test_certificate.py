"""The fields of ``Certificate``: they are read, and safe to print for any hostile certificate."""

from __future__ import annotations

import copy
import hashlib
import os
import pickle
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import certifi
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from certpin.errors import CertificateParseError
from certpin.lab import Authority
from certpin.support.text import printable
from certpin.x509 import Certificate, Chain, end_in_roots, is_self_signed, served_path
from certpin.x509.certificate import (
    _CACHED_CERTIFICATES,
    _certificate,
    _warnings_lock,
    read_certificates,
    signature_fits,
)
from certpin.x509.der import describe_key
from tests.x509._openssl import openssl
from tests.x509._tree import Node, changed, parse, replaced, with_content

SERIAL, SUBJECT, EXTENSIONS = (0, 1), (0, 5), (0, 7)
NOW = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)

# Characters that deceive a terminal, a log or a reader.
HOSTILE = {
    "an escape sequence": "\x1b[2J\x1b]0;pwned\a",
    "bidi overrides": "\u202egnp.elcyc\u2066",
    "a NUL": "bank.example\0.evil.example",
    "line breaks": "one\r\ntwo\u2028three\x85four",
    "invisible characters": "zero\u200bwidth\u00ad\ufeff",
    "a private use character": "\ue000\U0010fffd",
}


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("Describing", now=NOW)


def test_a_certificate_has_its_fields(authority: Authority) -> None:
    certificate = authority.issue("a.example", "*.b.example", "192.0.2.7", "2001:db8::7", days=10)
    leaf = certificate.certificate
    assert leaf.subject == "CN=a.example"
    assert leaf.issuer == "CN=Describing"
    assert leaf.names == ("a.example", "*.b.example", "192.0.2.7", "2001:db8::7")
    assert leaf.not_before == NOW - timedelta(hours=1)
    assert leaf.not_after == NOW + timedelta(days=10)
    assert leaf.serial_number == certificate.chain[0].serial_number
    assert not leaf.self_issued
    assert authority.certificate.self_issued


def test_digests_are_of_the_original_bytes(authority: Authority) -> None:
    leaf = authority.issue("a.example").certificate
    assert leaf.sha256 == hashlib.sha256(leaf.der).digest()
    assert leaf.spki_sha256 == hashlib.sha256(leaf.spki).digest()
    assert leaf.spki in leaf.der


@pytest.mark.parametrize(
    ("words", "key"),
    [
        ("EC P-256", ec.generate_private_key(ec.SECP256R1())),
        ("EC P-384", ec.generate_private_key(ec.SECP384R1())),
        ("EC P-521", ec.generate_private_key(ec.SECP521R1())),
        ("EC secp256k1", ec.generate_private_key(ec.SECP256K1())),
        ("RSA 2048", rsa.generate_private_key(65537, 2048)),
        ("Ed25519", ed25519.Ed25519PrivateKey.generate()),
        ("Ed448", ed448.Ed448PrivateKey.generate()),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_key_has_a_description(authority: Authority, words: str, key: Any) -> None:
    assert authority.issue("a.example", key=key).certificate.key == words


def test_an_unknown_key_is_described_by_its_oid() -> None:
    oid = Node(0x06, bytes.fromhex("2b0601040181fc59"))
    spki = Node(0x30, children=(Node(0x30, children=(oid,)), Node(0x03, b"\0key")))
    assert describe_key(spki.encode()) == "key OID 1.3.6.1.4.1.32345"


def test_a_key_with_an_invalid_oid_is_described_as_unreadable() -> None:
    oid = Node(0x06, b"\x80\x01")
    spki = Node(0x30, children=(Node(0x30, children=(oid,)), Node(0x03, b"\0key")))
    assert describe_key(spki.encode()) == "a key that cannot be read"


@pytest.mark.parametrize("what", HOSTILE)
def test_names_are_escaped(what: str) -> None:
    certificate = Authority(HOSTILE[what]).certificate
    for name in (certificate.subject, certificate.issuer):
        assert name.isprintable()
        assert name.startswith("CN=")


@given(st.text())
def test_printable_escapes_only_unprintable_characters(text: str) -> None:
    assert printable(text).isprintable()
    assert printable(text) == text or not text.isprintable()


def test_escaped_text_shows_the_characters() -> None:
    assert Authority("\x1b[2J").certificate.subject == r"CN=\x1b[2J"
    assert Authority("\u202e").certificate.subject == r"CN=\u202e"


def _san(der: bytes, names: bytes) -> Certificate:
    """Return the certificate ``der`` with the bytes ``names`` as its subjectAltName."""
    tree = parse(der)
    lists = tree.children[0].children[7].children[0].children
    san = bytes.fromhex("551d11")
    (index,) = [i for i, each in enumerate(lists) if each.children[0].content == san]
    path = (*EXTENSIONS, 0, index)
    value = len(lists[index].children) - 1
    return Certificate.from_der(replaced(tree, (*path, value), with_content(names)).encode())


def test_hostile_names_are_escaped(authority: Authority) -> None:
    name = Node(0x82, b"evil\x1b[2J.example")
    der = authority.issue("a.example").certificate.der
    certificate = _san(der, Node(0x30, children=(name,)).encode())
    assert certificate.names == (r"evil\x1b[2J.example",)


UNREADABLE_NAMES = {
    "no list": b"\x05\0",
    "junk": b"\xff\xff\xff",
    "a name that is not ASCII": Node(0x30, children=(Node(0x82, b"\xff\xfe"),)).encode(),
    "an address of five octets": Node(0x30, children=(Node(0x87, b"12345"),)).encode(),
    "an X.400 address": Node(0x30, children=(Node(0xA3, children=(Node(0x30),)),)).encode(),
}


@pytest.mark.parametrize("what", UNREADABLE_NAMES)
def test_an_invalid_name_list_is_a_typed_error(authority: Authority, what: str) -> None:
    der = authority.issue("a.example").certificate.der
    certificate = _san(der, UNREADABLE_NAMES[what])
    with pytest.raises(CertificateParseError, match="subjectAltName of this certificate") as caught:
        _ = certificate.names
    assert caught.value.fix
    assert len(certificate.spki_sha256) == 32, "the digests do not depend on it"


def test_a_certificate_without_names_has_none(authority: Authority) -> None:
    assert authority.certificate.names == ()


def test_names_of_other_types_are_left_out(authority: Authority) -> None:
    names = (
        Node(0x81, b"mail@a.example"),
        Node(0x86, b"https://a.example/"),
        Node(0x82, b"a.example"),
        Node(0x87, bytes([192, 0, 2, 1])),
    )
    der = authority.issue("b.example").certificate.der
    assert _san(der, Node(0x30, children=names).encode()).names == ("a.example", "192.0.2.1")


def test_long_subjects_and_many_names_are_read_whole(authority: Authority) -> None:
    names = [f"host-{number}.example" for number in range(2000)]
    description = x509.NameAttribute(x509.ObjectIdentifier("2.5.4.13"), "x" * 10_000)
    subject = parse(x509.Name([description]).public_bytes())
    der = authority.issue(*names).certificate.der
    certificate = Certificate.from_der(changed(der, SUBJECT, lambda _: subject))
    assert certificate.names == tuple(names)
    assert certificate.subject == "2.5.4.13=" + "x" * 10_000


@pytest.mark.parametrize(
    ("octets", "number"), [(b"\xff", -1), (b"\0", 0), (b"\x80" + b"\0" * 30, -(2**247))]
)
def test_an_invalid_serial_number_is_read_without_a_warning(
    authority: Authority, octets: bytes, number: int
) -> None:
    der = authority.issue("a.example").certificate.der
    certificate = Certificate.from_der(changed(der, SERIAL, with_content(octets)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert certificate.serial_number == number
        assert certificate.subject == "CN=a.example"


def test_every_certificate_of_certifi_has_readable_fields() -> None:
    for certificate in read_certificates(Path(certifi.where()).read_bytes()):
        assert certificate.self_issued
        assert certificate.subject == certificate.issuer
        assert certificate.key.startswith(("RSA ", "EC P-"))
        assert certificate.not_before < certificate.not_after
        assert certificate.serial_number >= 0
        assert certificate.names == ()


def test_threads_take_turns_at_the_warning_filters(authority: Authority) -> None:
    """Reading a field holds the lock for Python's warning filters.

    Otherwise one thread may restore the filters of another thread, and warnings stay disabled.
    """
    lock: Any = _warnings_lock.held
    assert authority.certificate._read("lock", lambda _: lock._is_owned())
    assert not lock._is_owned()


@pytest.mark.parametrize(
    "name",
    [
        *("subject", "issuer", "not_before", "not_after", "serial_number", "self_issued", "names"),
        *("is_authority", "parsed"),
    ],
)
@pytest.mark.parametrize(
    "path", [(0, 0, 0), (0, 4), (0, 5)], ids=["version", "validity", "subject"]
)
def test_an_unreadable_field_of_a_certificate_is_a_typed_error(
    authority: Authority, path: tuple[int, ...], name: str
) -> None:
    der = authority.issue("a.example").certificate.der
    damaged = changed(der, path, with_content(b"\x4d"))
    certificate = Certificate.from_der(damaged)
    assert certificate.spki == Certificate.from_der(der).spki
    with pytest.raises(CertificateParseError, match="of this certificate cannot be read"):
        getattr(certificate, name)


def test_authorities_are_distinguished_by_their_basic_constraints(authority: Authority) -> None:
    assert authority.certificate.is_authority
    assert not authority.issue("a.example").certificate.is_authority

    def without(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
        builder._extensions = [
            extension
            for extension in builder._extensions
            if not isinstance(extension.value, x509.BasicConstraints)
        ]
        return builder

    assert not authority.issue("b.example", change=without).certificate.is_authority


def test_a_duplicate_extension_is_a_typed_error(authority: Authority) -> None:
    der = authority.issue("a.example").certificate.der
    twice = changed(
        der, (*EXTENSIONS, 0), lambda node: Node(node.tag, children=node.children[:1] * 2)
    )
    with pytest.raises(CertificateParseError, match="subjectAltName"):
        _ = Certificate.from_der(twice).names


def test_certificates_are_equal_if_their_bytes_are(authority: Authority) -> None:
    one, other = authority.issue("a.example").certificate, authority.issue("a.example").certificate
    assert one == Certificate(one.der, b"")
    assert one != other
    assert len({one, Certificate(one.der, b""), other}) == 2


def test_certificates_and_chains_are_frozen(authority: Authority) -> None:
    certificate = authority.certificate
    with pytest.raises(AttributeError):
        certificate.der = b""  # type: ignore[misc]
    with pytest.raises(AttributeError):
        Chain((certificate,)).certificates = ()  # type: ignore[misc]


def test_a_certificate_seen_before_is_not_parsed_again(authority: Authority) -> None:
    der = authority.issue("a.example").certificate.der
    assert Certificate.from_der(der) is Certificate.from_der(bytes(bytearray(der)))
    assert Chain.from_der([der]) is Chain.from_der(iter([der]))


def test_the_cache_of_certificates_is_bounded() -> None:
    assert _certificate.cache_info().maxsize == _CACHED_CERTIFICATES


def test_a_described_certificate_survives_pickling_and_copying(authority: Authority) -> None:
    certificate = authority.issue("a.example").certificate
    assert certificate.subject
    for again in (pickle.loads(pickle.dumps(certificate)), copy.deepcopy(certificate)):
        assert again == certificate
        assert (again.spki, again.subject) == (certificate.spki, certificate.subject)


def test_a_chain_knows_its_leaf_and_its_authorities(authority: Authority) -> None:
    below = authority.intermediate("Below")
    identity = below.issue("a.example")
    chain = Chain.from_der(
        [identity.certificate.der, below.certificate.der, authority.certificate.der]
    )
    assert chain.leaf == identity.certificate
    assert chain.authorities == (below.certificate, authority.certificate)


def test_anchors_end_in_roots_if_each_leads_to_one_of_them(authority: Authority) -> None:
    below = authority.intermediate("Below")
    deeper = below.intermediate("Deeper")
    root, one, two = (each.certificate for each in (authority, below, deeper))
    assert end_in_roots([root])
    assert end_in_roots(iter([two, one, root]))
    assert not end_in_roots([one])
    assert not end_in_roots([two, root])
    assert not end_in_roots([root, Authority("Other").intermediate("Lonely").certificate])


def test_a_new_key_that_the_old_one_signed_is_no_root(authority: Authority) -> None:
    signed = Authority("Root", issuer=Authority("Root")).certificate
    assert signed.self_issued
    assert not is_self_signed(signed)
    assert not end_in_roots([signed])
    assert end_in_roots([signed, Authority("Root").certificate])
    assert is_self_signed(authority.certificate)


def _root(kind: str, *options: str) -> Certificate:
    """Return a root with a new key, made by `openssl req -newkey KIND`."""
    new = ("-newkey", kind, "-nodes", "-keyout", os.devnull)
    return Certificate.from_der(
        openssl("req", "-x509", "-subj", "/CN=Root", "-outform", "DER", *new, *options)
    )


def test_a_key_for_pss_signatures_makes_no_others() -> None:
    """An RSA key can make both kinds (RFC 4055 section 1.2); OpenSSL looks for a key that fits."""
    of_pss, of_rsa = _root("rsa-pss"), _root("rsa:2048")
    of_both = _root("rsa:2048", "-sigopt", "rsa_padding_mode:pss")
    assert of_pss.key.startswith("RSA-PSS ")
    assert signature_fits(of_pss, of_pss)
    assert signature_fits(of_pss, of_rsa)
    assert signature_fits(of_both, of_rsa)
    assert signature_fits(of_both, of_pss)
    assert signature_fits(of_rsa, of_both)
    assert not signature_fits(of_rsa, of_pss)


def test_a_served_path_is_found_in_any_order() -> None:
    root = Authority("Root")
    intermediate = root.intermediate("Intermediate")
    leaf = intermediate.issue("a.example").certificate
    middle, top = intermediate.certificate, root.certificate
    for served in (
        (leaf,),
        (leaf, leaf, top),
        (leaf, root.intermediate("Intermediate").certificate),
    ):
        assert served_path(served) == ((leaf,), True)
    assert served_path((leaf, middle)) == ((leaf, middle), True)
    assert served_path((leaf, top, middle)) == ((leaf, middle, top), False)
    assert served_path((top,)) == ((top,), False)


def test_a_served_path_without_an_end_is_followed_only_so_far() -> None:
    above = Authority("Root")
    chain: list[Certificate] = []
    for number in range(40):
        above = above.intermediate(f"Intermediate {number}")
        chain.insert(0, above.certificate)
    assert served_path(chain) == (tuple(chain[:16]), False)


def test_an_unreadable_name_is_no_missing_issuer(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Certificate) -> str:
        raise CertificateParseError("it makes no sense")

    root = Authority("Root")
    leaf = root.issue("a.example").certificate
    monkeypatch.setattr(Certificate, "subject", property(refuse))
    assert served_path((leaf, root.certificate)) == ((leaf,), False)


def test_dns_names_are_unchanged(authority: Authority) -> None:
    name = Node(0x82, b"evil\x1b[2J.example")
    address = Node(0x87, bytes(15) + b"\1")
    der = authority.issue("a.example").certificate.der
    certificate = _san(der, Node(0x30, children=(address, name)).encode())
    assert certificate.dns_names == ("evil\x1b[2J.example",)
    assert certificate.addresses == ("::1",)
    assert certificate.names == (r"evil\x1b[2J.example", "::1")
