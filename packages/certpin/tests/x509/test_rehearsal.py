"""A hostile file can't make certpin derive or check keys for hours, or with all memory."""

from __future__ import annotations

import sys
from base64 import encodebytes
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)

from certpin.errors import CertificateParseError, KeyParseError
from certpin.lab import Authority
from certpin.x509 import rehearsal
from certpin.x509.certificate import no_passphrase, read_certificates, read_items
from certpin.x509.der import element
from certpin.x509.keys import private_key
from certpin.x509.rehearsal import is_short
from certpin.x509.signing import file_key
from tests.x509._tree import changed, with_content

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = b"open sesame"
# Some 10 s of work: enough for the limit of these tests, and an end if the limit is gone.
_SLOW = with_content(b"\x01\xff\xff\xff")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal, "_SECONDS", 0.5)


def _store(secret: bytes | None) -> bytes:
    """Return PKCS#12 with a certificate and many iterations for its MAC (RFC 7292 section 4)."""
    sealed = NoEncryption() if secret is None else BestAvailableEncryption(secret)
    root = Authority("Slow").x509
    data = pkcs12.serialize_key_and_certificates(b"slow", None, root, None, sealed)
    return changed(data, (2, 2), _SLOW)


def _sealed_key() -> bytes:
    """Return an encrypted private key with many iterations of PBKDF2 (RFC 8018 appendix A.2)."""
    key = ec.generate_private_key(ec.SECP256R1())
    sealed = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, BestAvailableEncryption(SECRET))
    return changed(sealed, (0, 1, 0, 1, 1), _SLOW)


def _number(value: int) -> bytes:
    return element(b"\x02", value.to_bytes(value.bit_length() // 8 + 1))


def _sequence(*fields: bytes) -> bytes:
    return element(b"\x30", b"".join(fields))


def _dsa_key(size: int) -> bytes:
    """Return a DSA key of so many bits. Its public key is computed when it is read."""
    prime, secret = (1 << size) - 3, (1 << (size - 4)) - 5
    numbers = _sequence(_number(prime), _number((1 << 255) + 1), _number((1 << (size - 3)) - 7))
    algorithm = _sequence(element(b"\x06", bytes.fromhex("2a8648ce380401")), numbers)
    return _sequence(_number(0), algorithm, element(b"\x04", _number(secret)))


def _rsa_key_with_large_primes() -> bytes:
    """Return an RSA key of less than 4 KiB, with primes that OpenSSL tests for seconds."""
    first, second = (1 << 4423) - 1, (1 << 2203) - 1
    modulus, exponent = first * second, 65537
    secret = pow(exponent, -1, (first - 1) * (second - 1))
    parts = (secret % (first - 1), secret % (second - 1), pow(second, -1, first))
    return _sequence(*map(_number, (0, modulus, exponent, secret, first, second, *parts)))


def _pem(der: bytes, header: str = "", label: str = "PRIVATE KEY") -> bytes:
    body = f"{header}{encodebytes(der).decode()}"
    return f"-----BEGIN {label}-----\n{body}-----END {label}-----\n".encode()


def _with_long_version(store: bytes) -> bytes:
    """Return PKCS#12 in BER, which OpenSSL reads: its version has a length in two bytes."""
    (version,) = (i for i in range(2, 6) if store[i:].startswith(b"\x02\x01\x03"))
    return element(b"\x30", b"\x02\x81\x01\x03" + store[version + 3 :])


def _hungry_key() -> bytes:
    """Return an encrypted private key for which scrypt takes 256 MiB (RFC 7914 section 7)."""
    salt, cost, vector = b"saltsalt", (1 << 18, 8, 1), bytes(16)
    clear = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        Encoding.DER, PrivateFormat.PKCS8, NoEncryption()
    )
    padding = PKCS7(128).padder()
    secret = Scrypt(salt, 32, *cost).derive(SECRET)
    cipher = Cipher(AES256(secret), CBC(vector)).encryptor()
    sealed = cipher.update(padding.update(clear) + padding.finalize()) + cipher.finalize()
    numbers = _sequence(element(b"\x04", salt), *map(_number, cost))
    derive = _sequence(element(b"\x06", bytes.fromhex("2b06010401da47040b")), numbers)
    encrypt = _sequence(
        element(b"\x06", bytes.fromhex("60864801650304012a")), element(b"\x04", vector)
    )
    scheme = element(b"\x06", bytes.fromhex("2a864886f70d01050d"))
    return _sequence(_sequence(scheme, _sequence(derive, encrypt)), element(b"\x04", sealed))


@pytest.mark.medium
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("read", [read_items, file_key])
@pytest.mark.parametrize(
    ("make", "secret"),
    [
        (partial(_store, None), None),
        (partial(_store, SECRET), SECRET),
        (_sealed_key, SECRET),
        (partial(_dsa_key, 20_000), None),
        (lambda: _pem(_dsa_key(20_000)), None),
        (_rsa_key_with_large_primes, None),
    ],
    ids=["store", "sealed store", "sealed key", "huge key", "PEM", "large primes"],
)
def test_a_key_that_takes_too_long_is_refused(
    read: Callable[..., Any], make: Callable[[], bytes], secret: bytes | None
) -> None:
    with pytest.raises(KeyParseError, match=r"within 0\.5 s"):
        read(make(), lambda: secret)


@pytest.mark.medium
@pytest.mark.usefixtures("impatient")
def test_many_short_keys_that_take_too_long_are_refused() -> None:
    key = _dsa_key(3000)
    assert is_short(_pem(key))
    with pytest.raises(KeyParseError, match=r"within 0\.5 s"):
        read_items(_pem(key) * 500)


@pytest.mark.medium
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "make",
    [
        lambda: _pem(b"0", label="X509 CRL") + _pem(_dsa_key(20_000)),
        lambda: _pem(b"0", label="CERTIFICATE") + _pem(_dsa_key(20_000)),
        lambda: _pem(_dsa_key(20_000), "Comment: -----x\n\n"),
        lambda: _with_long_version(_store(None)),
    ],
    ids=["a CRL before it", "a broken certificate before it", "a header", "a store in BER"],
)
def test_a_key_that_only_openssl_finds_is_refused(make: Callable[[], bytes]) -> None:
    """``read_items`` refuses these files, but OpenSSL reads the key for a request."""
    with pytest.raises(KeyParseError, match=r"within 0\.5 s"):
        file_key(make(), no_passphrase)


@pytest.mark.slow
def test_a_key_that_takes_too_much_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = _hungry_key()
    assert read_items(data, lambda: SECRET)
    monkeypatch.setattr(rehearsal, "_MEMORY", 200 * 1024**2)
    with pytest.raises(KeyParseError):
        read_items(data, lambda: SECRET)


@pytest.mark.medium
def test_a_dh_key_that_openssl_refuses_is_a_typed_error() -> None:
    size = 10_001  # it allows 10,000 (OPENSSL_DH_MAX_MODULUS_BITS)
    numbers = _sequence(_number((1 << size) - 3), _number(2))
    algorithm = _sequence(element(b"\x06", bytes.fromhex("2a864886f70d010301")), numbers)
    secret = element(b"\x04", _number(5))
    key = _sequence(_number(0), algorithm, secret)
    with pytest.raises(KeyParseError):
        private_key(key)
    assert is_short(key)
    with pytest.raises(KeyParseError, match="no private key"):
        file_key(key, no_passphrase)


def test_without_another_process_nothing_protected_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "executable", "/missing/python")
    with pytest.raises(KeyParseError, match="in another process"):
        read_items(_store(None))


def test_a_file_of_certificates_is_not_searched_for_keys() -> None:
    """Trust anchors come from packages and apps: no key in such a file is parsed at all."""
    with pytest.raises(CertificateParseError):
        read_certificates(_store(None))
    with pytest.raises(CertificateParseError):
        read_certificates(_dsa_key(20_000))
    with pytest.raises(CertificateParseError, match="not a certificate"):
        read_certificates(Authority("Slow").pem + _pem(b"0"))


def test_code_in_the_current_directory_is_not_executed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other process has the passphrase, and the file may be in a downloaded folder."""
    (tmp_path / "json.py").write_text("open('executed', 'w')\nfrom os import stat as loads\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    sealed = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(SECRET)
    )
    assert read_items(sealed, lambda: SECRET)
    assert not Path("executed").exists()


def test_other_data_is_no_reason_to_ask_for_a_passphrase() -> None:
    def ask() -> bytes:
        raise AssertionError

    with pytest.raises(KeyParseError, match="no certificate and no key"):
        read_items(b"\x30\x03\x02\x01\x04", ask)
