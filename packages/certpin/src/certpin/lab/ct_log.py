"""Certificate Transparency logs of the lab. They sign promises (SCTs) for the lab's certificates.

The lab makes a promise as a real log does (RFC 6962 section 3.2), but publishes no certificate.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding

from certpin.lab.authority import new_key
from certpin.lab.server.records import vector
from certpin.x509.der import element
from certpin.x509.log_list import CTLog, LogList
from certpin.x509.sct import precert_data

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from cryptography.hazmat.primitives.asymmetric import rsa

    from certpin.lab.authority import Authority, Change

_SCT_LIST = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")  # RFC 6962 section 3.3
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_V1 = b"\0"
_SHA256_RSA, _SHA256_ECDSA = b"\4\1", b"\4\3"  # RFC 5246 section 7.4.1.4.1


@dataclass(frozen=True)
class LabLog:
    """A Certificate Transparency log of the lab with its private key.

    Attributes:
        key: the private key.
        entry: the description of the log in a list of logs.
    """

    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    entry: CTLog

    @classmethod
    def make(
        cls, operator: str, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | None = None
    ) -> LabLog:
        """Make a log that log lists describe as "usable".

        Args:
            operator: the name of the log's operator.
            key: the key of the log; a new P-256 key by default.
        """
        key = key or new_key()
        spki = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        name = f"{operator} 2027 (certpin lab)"
        return cls(key, CTLog(spki, name, operator, "usable", since=_EPOCH, kind="private"))

    def but(self, **fields: Any) -> LabLog:
        """Return a copy of the log with other values in its entry for lists of logs.

        ``fields`` are the new values, by the name of the entry's field.
        """
        return replace(self, entry=replace(self.entry, **fields))

    def promise(self, tbs: bytes, issuer_key_hash: bytes, at: datetime) -> bytes:
        """Return the log's promise for a certificate: an SCT, as bytes (RFC 6962 section 3.2).

        Args:
            tbs: the TBSCertificate without SCTs, which the log signs as a precertificate.
            issuer_key_hash: the SHA-256 of the issuer's SubjectPublicKeyInfo.
            at: the time of the promise.
        """
        milliseconds = (at - _EPOCH) // timedelta(milliseconds=1)
        signed = precert_data(tbs, issuer_key_hash, milliseconds, b"")
        if isinstance(self.key, ec.EllipticCurvePrivateKey):
            algorithm, signature = _SHA256_ECDSA, self.key.sign(signed, ec.ECDSA(hashes.SHA256()))
        else:
            algorithm = _SHA256_RSA
            signature = self.key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
        moment = milliseconds.to_bytes(8, "big")
        return _V1 + self.entry.log_id + moment + vector(2, b"") + algorithm + vector(2, signature)


def with_scts(authority: Authority, logs: Sequence[LabLog], at: datetime | None = None) -> Change:
    """Return a function that adds SCTs of logs to a certificate's builder.

    It is for the argument ``change`` of ``Authority.issue``.

    Args:
        authority: the issuer of the certificate.
        logs: the logs, in the order of their SCTs.
        at: the time of the SCTs; by default the issuer's time.
    """
    issuer_key_hash = authority.certificate.spki_sha256

    def change(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
        # A log signs neither the SCTs nor the poison extension: so these are the bytes that the
        # authority signs for the same certificate without SCTs.
        tbs = authority.sign(builder).tbs_certificate_bytes
        scts = [log.promise(tbs, issuer_key_hash, at or authority.now) for log in logs]
        return builder.add_extension(sct_extension(scts), critical=False)

    return change


def sct_extension(scts: Sequence[bytes]) -> x509.UnrecognizedExtension:
    """Return a certificate extension that contains the given SCTs (RFC 6962 section 3.3)."""
    content = vector(2, b"".join(vector(2, sct) for sct in scts))
    return x509.UnrecognizedExtension(_SCT_LIST, element(b"\4", content))


def log_list(logs: Sequence[LabLog], made: datetime) -> LogList:
    """Return a list of the given Certificate Transparency logs, with ``made`` as its date."""
    return LogList(tuple(log.entry for log in logs), made, "log_list.json")
