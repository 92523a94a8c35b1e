"""A certificate request (CSR, RFC 2986), signed by a key wherever that is."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from certpin.errors import HostError, KeyParseError
from certpin.x509 import _der
from certpin.x509.signing import hash_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.x509 import GeneralName

    from certpin.x509.signing import Signer, SignerPublicKey

_VERSION = b"\x02\x01\x00"  # v1(0)
_LONGEST_COMMON_NAME = 64  # RFC 5280 appendix A.1: ub-common-name
_NULL = b"\x05\x00"

# extensionRequest (RFC 2985 section 5.4.2) and subjectAltName (RFC 5280 section 4.2.1.6), as DER.
_EXTENSION_REQUEST = bytes.fromhex("06092a864886f70d01090e")
_ALTERNATIVE_NAME = bytes.fromhex("0603551d11")

# RFC 5758 section 3.2, RFC 4055 section 5, RFC 8410 section 3: only RSA has parameters, a NULL.
_ECDSA = {
    "sha256": bytes.fromhex("06082a8648ce3d040302"),
    "sha384": bytes.fromhex("06082a8648ce3d040303"),
}
_RSA_SHA256 = bytes.fromhex("06092a864886f70d01010b")
_ED25519 = bytes.fromhex("06032b6570")


def new_request(key: Signer, names: Sequence[str]) -> bytes:
    """A CSR for these names, as DER: normalised hosts, IP addresses, and ``*.`` before a name.

    The first one is the common name, too, if it is not too long: clients such as lego, and many a
    private authority, look for one. It is verified before it is returned. Raises ``HostError``
    without a name, ``KeyParseError`` where the signature does not verify, and what the key raises.
    """
    from cryptography.x509 import load_der_x509_csr

    if not names:
        raise HostError("a certificate needs a name", fix="give a host")
    attribute = _sequence(_EXTENSION_REQUEST, _set(_sequence(_alternative_names(names))))
    info = _sequence(_VERSION, _subject(names[0]), key.spki, _der.element(b"\xa0", attribute))
    signature = _der.bit_string(key.sign(info))
    request = _sequence(info, _algorithm(key.public_key), signature)
    if not load_der_x509_csr(request).is_signature_valid:
        raise KeyParseError("the key has made a signature that it does not verify itself")
    return request


def _subject(name: str) -> bytes:
    from cryptography.x509 import Name, NameAttribute, NameOID

    words = [NameAttribute(NameOID.COMMON_NAME, name)] if len(name) <= _LONGEST_COMMON_NAME else []
    return Name(words).public_bytes()


def _alternative_names(names: Sequence[str]) -> bytes:
    """The extension, not critical: an authority decides that for the certificate by itself."""
    from cryptography.x509 import SubjectAlternativeName

    value = SubjectAlternativeName(list(map(_general_name, names))).public_bytes()
    return _sequence(_ALTERNATIVE_NAME, _der.element(b"\x04", value))


def _general_name(name: str) -> GeneralName:
    from cryptography.x509 import DNSName, IPAddress

    try:
        return IPAddress(ip_address(name))
    except ValueError:
        return DNSName(name)


def _algorithm(key: SignerPublicKey) -> bytes:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    if isinstance(key, ec.EllipticCurvePublicKey):
        return _sequence(_ECDSA[hash_for(key).name])
    if isinstance(key, rsa.RSAPublicKey):
        return _sequence(_RSA_SHA256, _NULL)
    return _sequence(_ED25519)


def _sequence(*parts: bytes) -> bytes:
    return _der.element(b"\x30", b"".join(parts))


def _set(content: bytes) -> bytes:
    return _der.element(b"\x31", content)
