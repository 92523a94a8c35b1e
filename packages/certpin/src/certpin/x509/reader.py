"""Read certificates, CSRs and keys from a file of unknown format: PEM, DER or PKCS#12."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING

from certpin.errors import CertificateParseError, InputError, KeyParseError
from certpin.x509 import keys
from certpin.x509.certificate import Certificate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Passphrase = Callable[[], bytes | None]
    Item = Certificate | keys.PublicKey

# The bundle of all public roots is below 1 MiB, so a larger file than this has another content.
MAX_FILE_BYTES = 16 * 1024 * 1024

# RFC 7468 section 2, with the two headers of OpenSSL's old encrypted keys (RFC 1421).
# Possessive, so that a hostile file takes only one pass.
_BEGIN = b"-----BEGIN "
_PEM = re.compile(
    _BEGIN + rb"([A-Z0-9 ]{1,40})-----((?:[^-]++|-(?!----))*+)-----END \1-----",
)
_CERTIFICATES = {b"CERTIFICATE", b"X509 CERTIFICATE"}
_REQUESTS = {b"CERTIFICATE REQUEST", b"NEW CERTIFICATE REQUEST"}


def no_passphrase() -> None:
    """Return None, as the passphrase of callers that have none."""


def read(data: bytes, passphrase: Passphrase = no_passphrase) -> tuple[Item, ...]:
    """Read every certificate and key in a file. Nothing is verified.

    Args:
        data: the content of the file.
        passphrase: called at most once, and only if something is encrypted.

    Returns:
        The certificates and keys in the order of the file.

    Raises:
        CertificateParseError: the file has no certificate and no key, or a broken one.
        KeyParseError: a key can't be read.

    """
    if len(data) > MAX_FILE_BYTES:
        raise CertificateParseError(f"more than {MAX_FILE_BYTES} bytes: not a certificate file")
    items = tuple(_read_pem(data, passphrase) if _BEGIN in data else _read_der(data, passphrase))
    if not items:
        raise CertificateParseError(
            "there is no certificate and no key in it",
            fix="give a certificate, CSR, key or PKCS#12 file, as PEM or DER",
        )
    return items


def read_certificates(data: bytes) -> tuple[Certificate, ...]:
    """Read every certificate of a file that has only certificates, such as trust anchors.

    Raises:
        CertificateParseError: as ``read``, or because something is not a certificate.
        KeyParseError: as ``read``.

    """
    items = read(data)
    certificates = tuple(item for item in items if isinstance(item, Certificate))
    if len(certificates) != len(items):
        raise CertificateParseError(
            "something in it is not a certificate", fix="keep keys and CSRs in other files"
        )
    return certificates


def _read_pem(data: bytes, passphrase: Passphrase) -> Iterator[Item]:
    blocks = list(_PEM.finditer(data))
    if len(blocks) != data.count(_BEGIN):
        raise CertificateParseError("a PEM block is incomplete", fix="copy the whole file again")
    for block in blocks:
        label, body = block.groups()
        if label in _CERTIFICATES:
            yield Certificate.from_der(_decode(body))
        elif label in _REQUESTS:
            yield keys.certificate_request(_decode(body))
        elif label == b"PUBLIC KEY":
            yield keys.public_key(_decode(body))
        elif label.endswith(b"PRIVATE KEY"):
            yield _private_pem(block.group(0), body, label, passphrase)
        elif label != b"EC PARAMETERS":  # `openssl ecparam -genkey` writes them before the key
            raise KeyParseError(
                f"a PEM block {label.decode()!r} is not supported", fix="convert it with openssl"
            )


def _private_pem(block: bytes, body: bytes, label: bytes, passphrase: Passphrase) -> keys.PublicKey:
    if label.startswith(b"ENCRYPTED") or b"ENCRYPTED" in body:
        return keys.encrypted_private_key(block, _ask(passphrase))
    return keys.private_key(_decode(body))


def _read_der(data: bytes, passphrase: Passphrase) -> Iterator[Item]:
    """Yield the certificates and keys in DER data, trying each structure that certpin reads.

    Strict DER matches at most one of them.
    """
    for parse in (
        Certificate.from_der,
        keys.certificate_request,
        keys.public_key,
        keys.private_key,
    ):
        try:
            yield parse(data)
        except InputError:
            continue
        return
    yield from _read_encrypted(data, passphrase)


def _read_encrypted(data: bytes, passphrase: Passphrase) -> Iterator[Item]:
    """Yield the certificates, or the key, in PKCS#12 (RFC 7292) or encrypted PKCS#8 data."""
    try:
        yield from _read_pkcs12(data, None)
    except KeyParseError:
        secret = _ask(passphrase)
        try:
            yield from _read_pkcs12(data, secret)
        except KeyParseError:
            yield keys.encrypted_private_key(data, secret)


def _read_pkcs12(data: bytes, secret: bytes | None) -> tuple[Item, ...]:
    """Return the certificates in PKCS#12 data, leaf first; without certificates, the key."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import Encoding, pkcs12

    try:
        store = pkcs12.load_pkcs12(data, secret)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise KeyParseError("this is not a PKCS#12 file", fix="or its passphrase is wrong") from exc
    entries = [entry for entry in (store.cert, *store.additional_certs) if entry is not None]
    if not entries and store.key is not None:
        return (keys.parsed_private_key(store.key),)
    return tuple(
        Certificate.from_der(entry.certificate.public_bytes(Encoding.DER)) for entry in entries
    )


def _ask(passphrase: Passphrase) -> bytes:
    secret = passphrase()
    if secret is None:
        raise KeyParseError(
            "there is no certificate and no key in it that can be read without a passphrase",
            fix="give a certificate, CSR, key or PKCS#12 file, and its passphrase if it has one",
        )
    return secret


def _decode(body: bytes) -> bytes:
    try:
        return base64.b64decode(b"".join(body.split()), validate=True)
    except binascii.Error as exc:
        raise CertificateParseError(
            "a PEM block is not base64", fix="copy the whole file again"
        ) from exc
