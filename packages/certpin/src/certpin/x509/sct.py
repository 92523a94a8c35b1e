"""Signed certificate timestamps (SCTs) that a certificate contains (RFC 6962 section 3.3).

An SCT is a log's promise to publish the certificate. The log signs the precertificate (the
certificate without its SCTs and without the poison extension), together with the SHA-256 of the
issuer's key. ``cryptography`` parses the extension and rebuilds the precertificate; this module
rebuilds the signed structure of RFC 6962 section 3.2, and verifies the signature.

SCTs in a TLS extension or a stapled OCSP response are not read, because Python's ``ssl`` gives
them to no client (cpython issues 74710 and 88946).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from certpin.errors import CertificateParseError

if TYPE_CHECKING:
    from cryptography.x509 import Certificate as ParsedCertificate

    from certpin.x509.certificate import Certificate
    from certpin.x509.log_list import CTLog

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_V1 = b"\0"  # Version
_CERTIFICATE_TIMESTAMP = b"\0"  # SignatureType
_PRECERT_ENTRY = b"\0\1"  # LogEntryType
_MAX_SCTS = 100  # certificates have two to six


@dataclass(frozen=True)
class EmbeddedSCT:
    """One SCT (a log's promise to publish) in a certificate, of version 1. It is not verified.

    Attributes:
        log_id: the SHA-256 of the log's key.
        timestamp: the time of the promise, in milliseconds since 1970 (UTC).
        extensions: the bytes of the SCT's CtExtensions.
        signature: the bytes of the log's signature.
        algorithm: ``ecdsa`` or ``rsa``, with SHA-256; empty for any other algorithm, which RFC 6962
            doesn't allow.
    """

    log_id: bytes
    timestamp: int
    extensions: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    algorithm: str

    @property
    def moment(self) -> datetime:
        """The time of the promise, in UTC."""
        return _EPOCH + self.timestamp * _MILLISECOND


def embedded_scts(certificate: Certificate) -> tuple[EmbeddedSCT, ...]:
    """Return the SCTs that a certificate contains; empty if it has none.

    Raises:
        CertificateParseError: the extension can't be read, or has more than 100 SCTs.
    """
    try:
        return _embedded(certificate.parsed)
    except CertificateParseError:
        raise
    except Exception as exc:  # the parser raises many types for hostile extensions
        raise CertificateParseError(
            "the signed certificate timestamps of this certificate cannot be read",
            fix="get another certificate from its issuer",
        ) from exc


def precertificate_tbs(certificate: Certificate) -> bytes:
    """Return the TBSCertificate of a certificate without its SCTs (RFC 6962 section 3.2).

    That is the content that a certificate and its precertificate have in common. For a certificate
    without SCTs, and for one with extensions that can't be read, it is the whole TBSCertificate.

    Raises:
        CertificateParseError: the certificate can't be read.
    """
    parsed = certificate.parsed
    try:
        return parsed.tbs_precertificate_bytes
    except Exception:  # noqa: BLE001  # no SCTs; for hostile extensions the parser raises many types
        return parsed.tbs_certificate_bytes


def is_signed(certificate: Certificate, issuer: Certificate, sct: EmbeddedSCT, log: CTLog) -> bool:
    """Return True if the log's signature in an SCT is valid for this certificate of this issuer.

    Args:
        certificate: the certificate that contains the SCT.
        issuer: the issuer of the certificate on the verified path. Only its key is used.
        sct: one of the certificate's SCTs.
        log: the log that has the ID of the SCT.
    """
    return _is_signed(certificate, issuer.spki_sha256, sct, log)


@lru_cache(maxsize=1024)  # the service judges a served chain by each version of each pin file
def _is_signed(
    certificate: Certificate, issuer_key_hash: bytes, sct: EmbeddedSCT, log: CTLog
) -> bool:
    from cryptography.hazmat.primitives.asymmetric import rsa

    from certpin.x509.signing import verify_signature

    key = log.public_key
    if key is None or sct.log_id != log.log_id:
        return False
    if sct.algorithm != ("rsa" if isinstance(key, rsa.RSAPublicKey) else "ecdsa"):
        return False
    tbs = certificate.parsed.tbs_precertificate_bytes
    signed = precert_data(tbs, issuer_key_hash, sct.timestamp, sct.extensions)
    return verify_signature(key, sct.signature, signed)


def precert_data(tbs: bytes, issuer_key_hash: bytes, timestamp: int, extensions: bytes) -> bytes:
    """Return the bytes that a log signs for a precertificate (RFC 6962 section 3.2).

    Args:
        tbs: the TBSCertificate of the certificate, without poison and SCTs.
        issuer_key_hash: the SHA-256 of the issuer's SubjectPublicKeyInfo.
        timestamp: the time of the SCT, in milliseconds since 1970 (UTC).
        extensions: the content of the SCT's CtExtensions.
    """
    return b"".join(
        (
            _V1,
            _CERTIFICATE_TIMESTAMP,
            timestamp.to_bytes(8, "big"),
            _PRECERT_ENTRY,
            issuer_key_hash,
            len(tbs).to_bytes(3, "big") + tbs,
            len(extensions).to_bytes(2, "big") + extensions,
        )
    )


def _embedded(parsed: ParsedCertificate) -> tuple[EmbeddedSCT, ...]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.certificate_transparency import SignatureAlgorithm

    kind = x509.PrecertificateSignedCertificateTimestamps
    try:
        scts = parsed.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return ()
    if len(scts) > _MAX_SCTS:
        raise ValueError("too many SCTs")
    names = {SignatureAlgorithm.ECDSA: "ecdsa", SignatureAlgorithm.RSA: "rsa"}
    return tuple(
        EmbeddedSCT(
            each.log_id,
            (each.timestamp.replace(tzinfo=UTC) - _EPOCH) // _MILLISECOND,
            each.extension_bytes,
            each.signature,
            names.get(each.signature_algorithm, "")
            if isinstance(each.signature_hash_algorithm, hashes.SHA256)
            else "",
        )
        for each in scts
    )
