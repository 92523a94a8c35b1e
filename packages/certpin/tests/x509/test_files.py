"""Reading certificates and keys from files of unknown format, and the fixes in the errors."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from hypothesis import given
from hypothesis import strategies as st

from certpin.errors import CertificateParseError, InputError, KeyParseError
from certpin.lab import Authority, Identity
from certpin.x509 import Certificate, keys
from certpin.x509.certificate import MAX_FILE_BYTES, pem_blocks, read_certificates, read_items
from certpin.x509.keys import MissingPassphraseError, PassphraseError, PublicKey
from tests.x509._tree import changed, parse, with_content, with_padded_length, without_last

PEM, DER = serialization.Encoding.PEM, serialization.Encoding.DER
PKCS8 = serialization.PrivateFormat.PKCS8
SECRET = b"open sesame"
SEALED = serialization.BestAvailableEncryption(SECRET)
CLEAR = serialization.NoEncryption()


@pytest.fixture(scope="module")
def identity() -> Identity:
    return Authority("Reader").intermediate("Below").issue("read.example")


@pytest.fixture(scope="module")
def sealed_pem(identity: Identity) -> bytes:
    return identity.key.private_bytes(PEM, PKCS8, SEALED)


class Asked:
    """A callable that returns a passphrase and counts its calls in ``times``."""

    def __init__(self, secret: bytes | None) -> None:
        self.secret = secret
        self.times = 0

    def __call__(self) -> bytes | None:
        self.times += 1
        return self.secret


def _spki(key: Any) -> bytes:
    spki: bytes = key.public_key().public_bytes(
        DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return spki


def _block(label: str, der: bytes) -> bytes:
    return b"-----BEGIN %b-----\n%b-----END %b-----\n" % (
        label.encode(),
        base64.encodebytes(der),
        label.encode(),
    )


def test_a_file_is_read_in_its_order(identity: Identity) -> None:
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    csr = request.sign(identity.key, hashes.SHA256()).public_bytes(PEM)
    text = b"leaf:\n" + identity.chain_pem + b"its key:\r\n" + identity.key_pem + csr
    leaf, issuer, key, asked_for = read_items(text)
    assert isinstance(leaf, Certificate)
    assert isinstance(issuer, Certificate)
    assert isinstance(key, PublicKey)
    assert isinstance(asked_for, PublicKey)
    assert (leaf.subject, issuer.subject) == ("CN=read.example", "CN=Below")
    assert (key.source, asked_for.source) == ("private key", "certificate request")
    assert key == asked_for
    assert key.spki_sha256 == leaf.spki_sha256
    assert key.key == "EC P-256"


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
def test_line_ends_of_every_system_are_read(identity: Identity, newline: bytes) -> None:
    (leaf, *_) = read_items(identity.chain_pem.replace(b"\n", newline))
    assert leaf == identity.certificate


@pytest.mark.parametrize(
    ("label", "structure"),
    [
        ("CERTIFICATE", "certificate"),
        ("X509 CERTIFICATE", "certificate"),
        ("CERTIFICATE REQUEST", "request"),
        ("NEW CERTIFICATE REQUEST", "request"),
        ("PUBLIC KEY", "public"),
        ("PRIVATE KEY", "private"),
    ],
)
def test_every_label_is_read(identity: Identity, label: str, structure: str) -> None:
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    ders = {
        "certificate": identity.certificate.der,
        "request": request.sign(identity.key, hashes.SHA256()).public_bytes(DER),
        "public": _spki(identity.key),
        "private": identity.key.private_bytes(DER, PKCS8, CLEAR),
    }
    (item,) = read_items(_block(label, ders[structure]))
    assert item.spki == _spki(identity.key)
    (item,) = read_items(ders[structure])
    assert item.spki == _spki(identity.key), "the same without PEM"


def test_curve_parameters_before_a_key_are_ignored(identity: Identity) -> None:
    key = identity.key.private_bytes(PEM, serialization.PrivateFormat.TraditionalOpenSSL, CLEAR)
    (item,) = read_items(_block("EC PARAMETERS", bytes.fromhex("06082a8648ce3d030107")) + key)
    assert item.spki == _spki(identity.key)


def test_a_file_with_only_curve_parameters_is_refused() -> None:
    with pytest.raises(CertificateParseError, match="no certificate and no key in it") as caught:
        read_items(_block("EC PARAMETERS", bytes.fromhex("06082a8648ce3d030107")))
    assert "PKCS#12" in caught.value.fix


@pytest.mark.parametrize("label", ["PKCS7", "TRUSTED CERTIFICATE", "X509 CRL", "RSA PUBLIC KEY"])
def test_an_unsupported_block_is_named(label: str) -> None:
    with pytest.raises(KeyParseError, match=f"a PEM block '{label}' is not supported") as caught:
        read_items(_block(label, b"0"))
    assert "openssl" in caught.value.fix


BROKEN_PEM = {
    "no end": b"-----BEGIN CERTIFICATE-----\nMIIB\n",
    "another end": b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END PUBLIC KEY-----\n",
    "a label in small letters": b"-----BEGIN certificate-----\nMIIB\n-----END certificate-----\n",
    "a beginning within": b"-----BEGIN CERTIFICATE-----\nMIIB\n-----BEGIN CERTIFICATE-----\n"
    b"MIIB\n-----END CERTIFICATE-----\n",
}


@pytest.mark.parametrize("what", BROKEN_PEM)
def test_an_incomplete_block_refuses_the_whole_file(identity: Identity, what: str) -> None:
    """Otherwise, a part of a bundle of trust anchors could be taken for the whole bundle."""
    with pytest.raises(CertificateParseError, match="is incomplete") as caught:
        read_certificates(identity.chain_pem + BROKEN_PEM[what])
    assert "copy" in caught.value.fix


def test_each_block_has_its_offset_and_incomplete_ones_have_no_bytes(identity: Identity) -> None:
    first, second = (
        certificate.public_bytes(serialization.Encoding.PEM).strip()
        for certificate in identity.chain
    )
    data = b"x\n" + first + b"\n-----BEGIN CERTIFICATE-----\nMIIB\n" + second
    assert list(pem_blocks(data)) == [
        (2, first),
        (data.index(b"-----BEGIN", 20), None),
        (data.index(second), second),
    ]
    assert list(pem_blocks(b"no PEM")) == []


def test_a_block_that_is_not_base64_is_refused() -> None:
    with pytest.raises(CertificateParseError, match="not base64"):
        read_items(b"-----BEGIN CERTIFICATE-----\nMII*\n-----END CERTIFICATE-----\n")


def test_a_block_with_something_between_the_base64_is_refused(identity: Identity) -> None:
    with pytest.raises(CertificateParseError, match="not base64"):
        read_items(identity.chain_pem.replace(b"MII", b"M*II", 1))


def test_a_block_of_something_else_under_the_label_is_refused(identity: Identity) -> None:
    with pytest.raises(CertificateParseError, match=r"not an X\.509 certificate"):
        read_items(_block("CERTIFICATE", _spki(identity.key)))
    with pytest.raises(CertificateParseError, match="not a certificate request"):
        read_items(_block("CERTIFICATE REQUEST", _spki(identity.key)))
    with pytest.raises(KeyParseError, match="not a public key") as caught:
        read_items(_block("PUBLIC KEY", identity.certificate.der))
    assert "openssl pkey -in KEY -pubout" in caught.value.fix
    with pytest.raises(KeyParseError, match="private key cannot be read"):
        read_items(_block("PRIVATE KEY", identity.certificate.der))


@pytest.mark.parametrize("data", [b"", b"hello", b"-----END CERTIFICATE-----", b"\0" * 1000])
def test_another_file_is_refused_with_a_list_of_formats(data: bytes) -> None:
    with pytest.raises(InputError, match="no certificate and no key in it") as caught:
        read_items(data)
    assert "PKCS#12" in caught.value.fix


def test_a_file_that_is_too_large_is_not_read() -> None:
    for read in (read_items, read_certificates):
        with pytest.raises(CertificateParseError, match=str(MAX_FILE_BYTES)):
            read(bytes(MAX_FILE_BYTES + 1))


def test_many_begin_lines_are_refused_in_one_pass() -> None:
    pairs = b"-----BEGIN A-----\n-----END B-----\n" * (MAX_FILE_BYTES // 40)
    with pytest.raises(CertificateParseError, match="is incomplete"):
        read_items(pairs)


@pytest.mark.medium
@pytest.mark.parametrize("encoding", [PEM, DER])
def test_an_encrypted_key_is_read_with_its_passphrase(
    identity: Identity, encoding: serialization.Encoding
) -> None:
    asked = Asked(SECRET)
    (item,) = read_items(identity.key.private_bytes(encoding, PKCS8, SEALED), asked)
    assert item.spki == _spki(identity.key)
    assert asked.times == 1


@pytest.mark.medium
def test_each_encrypted_key_of_a_file_has_its_passphrase(identity: Identity) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    data = b"".join(
        key.private_bytes(PEM, PKCS8, serialization.BestAvailableEncryption(secret))
        for key, secret in ((identity.key, b"one"), (other, b"two"))
    )
    secrets = iter([b"one", b"two"])
    items = read_items(data + identity.key_pem, lambda: next(secrets))
    assert [item.spki for item in items] == [*map(_spki, (identity.key, other, identity.key))]


@pytest.mark.medium
@pytest.mark.parametrize("encoding", [PEM, DER])
def test_a_wrong_passphrase_is_a_typed_error(
    identity: Identity, encoding: serialization.Encoding
) -> None:
    with pytest.raises(KeyParseError, match="cannot be read") as caught:
        read_items(identity.key.private_bytes(encoding, PKCS8, SEALED), lambda: b"wrong")
    assert "passphrase" in caught.value.fix


@pytest.mark.parametrize("encoding", [PEM, DER])
def test_without_a_passphrase_the_error_asks_for_it(
    identity: Identity, encoding: serialization.Encoding
) -> None:
    with pytest.raises(KeyParseError, match="without a passphrase") as caught:
        read_items(identity.key.private_bytes(encoding, PKCS8, SEALED))
    assert "passphrase" in caught.value.fix


@pytest.mark.medium
@pytest.mark.parametrize(
    ("encoding", "kinds"),
    [(PEM, [MissingPassphraseError, PassphraseError]), (DER, [KeyParseError, KeyParseError])],
    ids=["PEM", "DER"],
)
def test_only_pem_shows_that_a_key_is_encrypted(
    identity: Identity, encoding: serialization.Encoding, kinds: list[type[KeyParseError]]
) -> None:
    """Other data can begin like an encrypted key in DER, and needs no passphrase."""
    data = identity.key.private_bytes(encoding, PKCS8, SEALED)
    for secret, kind in zip((None, b"wrong"), kinds, strict=True):
        with pytest.raises(KeyParseError) as caught:
            read_items(data, Asked(secret))
        assert type(caught.value) is kind


def test_no_passphrase_is_asked_for_unencrypted_files(identity: Identity) -> None:
    asked = Asked(SECRET)
    for data in (identity.chain_pem, identity.key_pem, identity.certificate.der):
        read_items(data, asked)
    assert asked.times == 0


def test_an_empty_passphrase_opens_no_encrypted_key(sealed_pem: bytes) -> None:
    with pytest.raises(KeyParseError):
        read_items(sealed_pem, lambda: b"")


def _store(identity: Identity, *, key: bool, leaf: bool, more: bool, sealed: bool) -> bytes:
    key_type: Any = identity.key if key else None
    return pkcs12.serialize_key_and_certificates(
        b"name",
        key_type,
        identity.chain[0] if leaf else None,
        identity.chain[1:] if more else None,
        SEALED if sealed else CLEAR,
    )


@pytest.mark.medium
@pytest.mark.parametrize("sealed", [True, False])
def test_the_certificates_of_a_store_are_read_leaf_first(identity: Identity, sealed: bool) -> None:
    asked = Asked(SECRET)
    items = read_items(_store(identity, key=True, leaf=True, more=True, sealed=sealed), asked)
    assert [item for item in items if isinstance(item, Certificate)] == list(items)
    assert [item.der for item in items if isinstance(item, Certificate)] == [
        each.public_bytes(DER) for each in identity.chain
    ]
    assert asked.times == sealed


@pytest.mark.medium
def test_a_store_with_only_certificates_is_read(identity: Identity) -> None:
    items = read_items(_store(identity, key=False, leaf=False, more=True, sealed=False))
    assert [item.spki for item in items] == [_spki_of(each) for each in identity.chain[1:]]


def _spki_of(certificate: x509.Certificate) -> bytes:
    return Certificate.from_der(certificate.public_bytes(DER)).spki


@pytest.mark.medium
def test_the_key_of_a_store_without_certificates_is_read(identity: Identity) -> None:
    data = _store(identity, key=True, leaf=False, more=False, sealed=True)
    (item,) = read_items(data, lambda: SECRET)
    assert isinstance(item, PublicKey)
    assert (item.spki, item.source) == (_spki(identity.key), "private key")


@pytest.mark.medium
def test_a_store_with_another_passphrase_is_a_typed_error(identity: Identity) -> None:
    data = _store(identity, key=True, leaf=True, more=True, sealed=True)
    with pytest.raises(KeyParseError, match="cannot be read") as caught:
        read_items(data, lambda: b"wrong")
    assert "passphrase" in caught.value.fix


def test_trust_anchors_are_certificates_and_nothing_else(identity: Identity) -> None:
    certificates = read_certificates(identity.chain_pem)
    assert [each.subject for each in certificates] == ["CN=read.example", "CN=Below"]
    with pytest.raises(CertificateParseError, match="something in it is not a certificate"):
        read_certificates(identity.chain_pem + identity.key_pem)
    with pytest.raises(CertificateParseError, match="it is empty"):
        read_certificates(b"\n")


@pytest.mark.parametrize(
    ("label", "fix"),
    [
        ("TRUSTED CERTIFICATE", "openssl x509 -in FILE"),
        ("PKCS7", "openssl pkcs7"),
        ("X509 CRL", "other files"),
        ("CERTIFICATE REQUEST", "other files"),
    ],
)
def test_what_is_no_trust_anchor_is_named(label: str, fix: str) -> None:
    with pytest.raises(CertificateParseError, match=f"a PEM block '{label}'") as caught:
        read_certificates(_block(label, b"0"))
    assert fix in caught.value.fix


def test_a_private_key_with_another_public_key_is_refused() -> None:
    """An EC key contains its public key; if it does not match, it must not become the pin."""
    mine, other = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    point = serialization.PublicFormat.UncompressedPoint
    halves = [
        key.public_key().public_bytes(serialization.Encoding.X962, point) for key in (mine, other)
    ]
    der = mine.private_bytes(DER, PKCS8, CLEAR).replace(halves[0], halves[1])
    with pytest.raises(KeyParseError):
        read_items(_block("PRIVATE KEY", der))


@pytest.mark.medium
def test_an_rsa_key_with_inconsistent_numbers_is_refused() -> None:
    der = rsa.generate_private_key(65537, 2048).private_bytes(
        DER, serialization.PrivateFormat.TraditionalOpenSSL, CLEAR
    )
    with pytest.raises(KeyParseError):
        read_items(_block("RSA PRIVATE KEY", changed(der, (2,), with_content(b"\3"))))


@pytest.mark.medium
def test_an_rsa_pss_key_in_ber_is_refused(rsa_pss_key: bytes) -> None:
    (item,) = read_items(rsa_pss_key)
    assert item.key == "RSA-PSS 2048"
    assert item.spki != keys.public_key_of(_parsed(rsa_pss_key)).spki
    with pytest.raises(KeyParseError):
        keys.private_key(changed(rsa_pss_key, (1, 1, 0, 0), with_padded_length))


@pytest.mark.medium
def test_an_encrypted_rsa_key_has_a_caveat_about_rsa_pss() -> None:
    key = rsa.generate_private_key(65537, 2048)
    store = pkcs12.serialize_key_and_certificates(None, key, None, None, SEALED)
    for data in (*(key.private_bytes(encoding, PKCS8, SEALED) for encoding in (PEM, DER)), store):
        (item,) = read_items(data, lambda: SECRET)
        assert isinstance(item, PublicKey)
        assert item.spki == _spki(key)
        assert "RSA-PSS" in item.caveat


@pytest.mark.medium
def test_a_plain_rsa_key_has_the_null_that_openssl_writes() -> None:
    key = rsa.generate_private_key(65537, 2048)
    der = key.private_bytes(DER, PKCS8, CLEAR)
    bare = changed(der, (1,), without_last)
    assert keys.private_key(bare).spki == keys.private_key(der).spki == _spki(key)


@pytest.fixture(scope="module")
def rsa_pss_key() -> bytes:
    """Return a PKCS#8 key, in DER, of RSASSA-PSS with SHA-256 (RFC 4055 section 3.1)."""
    algorithm = bytes.fromhex(
        "303d06092a864886f70d01010a3030a00d300b0609608648016503040201"
        "a11a301806092a864886f70d010108300b0609608648016503040201a203020120"
    )
    der = rsa.generate_private_key(65537, 2048).private_bytes(DER, PKCS8, CLEAR)
    return changed(der, (1,), lambda _: parse(algorithm))


def _parsed(der: bytes) -> Any:
    return serialization.load_der_private_key(der, None)


@pytest.mark.medium
@pytest.mark.parametrize("algorithm", ["p256", "p384", "rsa2048", "rsa3072", "ed25519"])
@pytest.mark.parametrize("secret", [None, SECRET])
def test_a_new_key_can_be_read_again(algorithm: keys.KeyAlgorithm, secret: bytes | None) -> None:
    pem, public = keys.new_private_key(algorithm, secret)
    (again,) = read_items(pem, lambda: secret)
    assert again == public
    assert (b"ENCRYPTED" in pem) == (secret is not None)
    assert not public.caveat
    assert {"p256": "EC P-256", "p384": "EC P-384", "ed25519": "Ed25519"}.get(
        algorithm, f"RSA {algorithm[3:]}"
    ) == public.key


def test_new_keys_differ() -> None:
    assert keys.new_private_key("p256", None)[1] != keys.new_private_key("p256", None)[1]


def test_an_empty_passphrase_for_a_new_key_is_refused() -> None:
    with pytest.raises(KeyParseError, match="the passphrase is empty"):
        keys.new_private_key("p256", b"")


def _damaged(data: bytes, edits: list[tuple[int, int]]) -> bytes:
    spoilt = bytearray(data)
    for place, value in edits:
        spoilt[place % len(spoilt)] = value
    return bytes(spoilt)


EDITS = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=3)
CLEAR_KEYS = [
    ed25519.Ed25519PrivateKey.generate().private_bytes(DER, PKCS8, CLEAR),
    ec.generate_private_key(ec.SECP384R1()).private_bytes(DER, PKCS8, CLEAR),
    ec.generate_private_key(ec.SECP256R1()).private_bytes(
        DER, serialization.PrivateFormat.TraditionalOpenSSL, CLEAR
    ),
    rsa.generate_private_key(65537, 1024).private_bytes(DER, PKCS8, CLEAR),
]


@given(st.sampled_from(CLEAR_KEYS), EDITS)
def test_a_damaged_key_raises_the_typed_errors_and_nothing_else(
    key: bytes, edits: list[tuple[int, int]]
) -> None:
    _reads_or_refuses(_damaged(key, edits))
    _reads_or_refuses(_block("PRIVATE KEY", _damaged(key, edits)))


@given(EDITS)
def test_a_damaged_pem_file_raises_the_typed_errors_and_nothing_else(
    edits: list[tuple[int, int]],
) -> None:
    _reads_or_refuses(_damaged(PEM_FILE, edits))


PEM_FILE = Authority("Damaged").issue("damaged.example").chain_pem + _block(
    "PRIVATE KEY", CLEAR_KEYS[0]
)


def _reads_or_refuses(data: bytes) -> None:
    try:
        items = read_items(data, lambda: b"secret")
    except (CertificateParseError, KeyParseError):
        return
    assert all(len(item.spki_sha256) == 32 and item.key.isprintable() for item in items)


@given(st.lists(st.sampled_from([b"-----BEGIN ", b"-----END ", b"A", b"-----", b"-", b"\n", b" "])))
def test_any_mixture_of_pem_lines_is_read_or_refused(parts: list[bytes]) -> None:
    _reads_or_refuses(b"".join(parts))
