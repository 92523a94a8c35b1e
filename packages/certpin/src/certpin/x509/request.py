"""Read a certificate signing request (CSR, RFC 2986): its public key and its names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from certpin.errors import CertificateParseError
from certpin.x509.certificate import MAX_CERTIFICATE_BYTES
from certpin.x509.keys import certificate_request

if TYPE_CHECKING:
    from cryptography import x509

    from certpin.x509.keys import PublicKey

# One block and nothing else: programs disagree on which of two blocks counts (RFC 7468 section 2).
_ONLY_BLOCK = re.compile(
    rb"\s*-----BEGIN (NEW )?CERTIFICATE REQUEST-----[A-Za-z0-9+/=\s]*+"
    rb"-----END (NEW )?CERTIFICATE REQUEST-----\s*"
)

_EXTENSION_REQUEST = "1.2.840.113549.1.9.14"  # single-valued (RFC 2985 section 5.4.2)
# Microsoft's attributes from which an authority can take names, too ([MS-WCCE] section 2.2.2.7):
# extensions, and pairs of names and values such as SAN.
_OF_MICROSOFT = frozenset({"1.3.6.1.4.1.311.2.1.14", "1.3.6.1.4.1.311.13.2.1"})


@dataclass(frozen=True)
class SigningRequest:
    """A CSR with a verified signature, which proves that its sender has the private key.

    Attributes:
        key: the public key.
        names: the DNS names and IP addresses of the subjectAltName, then the common names of the
            subject. Not safe to print, and not necessarily hosts.
    """

    key: PublicKey
    names: tuple[str, ...]


def read_request(pem: bytes) -> SigningRequest:
    """Read one CSR in PEM, and verify its signature.

    Returns:
        The public key and the names. The names include the common names, because an ACME authority
        can put those into the subjectAltName (RFC 8555 section 7.4).

    Raises:
        CertificateParseError: the data is not exactly one CSR, is larger than a certificate may be,
            has a wrong signature, or has several attributes that can name hosts. Programs disagree
            on which of these attributes counts.
    """
    from cryptography import x509

    if len(pem) > MAX_CERTIFICATE_BYTES:
        raise CertificateParseError(
            f"the certificate request has more than {MAX_CERTIFICATE_BYTES} bytes"
        )
    if not _ONLY_BLOCK.fullmatch(pem):
        raise CertificateParseError("this is not one certificate request in PEM")
    try:
        parsed = x509.load_pem_x509_csr(pem)
        kinds = [each.oid.dotted_string for each in parsed.attributes]
        names, is_signed = _names(parsed), parsed.is_signature_valid
        der = _der(parsed)
    except Exception as exc:
        # The parser raises many types for hostile fields.
        raise CertificateParseError("the certificate request cannot be read") from exc
    if not is_signed:
        raise CertificateParseError("the signature of the certificate request is wrong")
    # Programs disagree on which of several attributes count: Go's takes the extensions of all
    # PKCS#9's, cryptography those of the first of either kind. cryptography itself refuses an
    # attribute with several values, and an extension that is there twice.
    if kinds.count(_EXTENSION_REQUEST) > 1 or not _OF_MICROSOFT.isdisjoint(kinds):
        raise CertificateParseError(
            "the certificate request can name hosts in more than one place",
            fix="make it with one extensionRequest attribute (PKCS#9), and none of Microsoft's",
        )
    return SigningRequest(certificate_request(der), names)


def _der(parsed: x509.CertificateSigningRequest) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return parsed.public_bytes(Encoding.DER)


def _names(parsed: x509.CertificateSigningRequest) -> tuple[str, ...]:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    try:
        found = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        found = x509.SubjectAlternativeName([])
    common = parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return (
        *found.get_values_for_type(x509.DNSName),
        *map(str, found.get_values_for_type(x509.IPAddress)),
        *(str(each.value) for each in common),
    )
