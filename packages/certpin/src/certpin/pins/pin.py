"""A pin: the SHA-256 of a public key, or of a whole certificate."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

from certpin.errors import PinParseError
from certpin.x509 import quoted

if TYPE_CHECKING:
    from certpin.x509 import Certificate

PinKind = Literal["sha256", "cert-sha256"]

DIGEST_BYTES = 32  # SHA-256 (FIPS 180-4)

# Every spelling names its kind, because both kinds have the same length.
_SPKI = re.compile(r"sha256/(\S+)")
_RFC7469 = re.compile(r"""pin-sha256\s*=\s*("?)([^";\s]+)\1;?""")
_CERTIFICATE = re.compile(
    r"(?:cert-sha256/|sha256 Fingerprint\s*=\s*)(\S+)", re.ASCII | re.IGNORECASE
)
_HEX = re.compile(r"[0-9A-F]{2}(?:(?::[0-9A-F]{2}){31}|(?:[0-9A-F]{2}){31})", re.IGNORECASE)
_BASE64_LENGTH = 44  # of 32 bytes
_CANONICAL_LENGTH = len("sha256/") + _BASE64_LENGTH
_SPELLINGS = (
    "write sha256/BASE64 for a public key (certpin pin HOST prints it), "
    "or cert-sha256/AA:BB:… for a whole certificate"
)


@dataclass(frozen=True, slots=True)
class Pin:
    """The SHA-256 digest of a public key or a certificate.

    ``sha256`` pins a SubjectPublicKeyInfo (RFC 7469 section 2.4), and stays valid through every
    renewal with the same key. ``cert-sha256`` pins one certificate.

    Raises:
        PinParseError: the digest does not have 32 bytes.
    """

    kind: PinKind
    digest: bytes

    def __post_init__(self) -> None:
        if len(self.digest) != DIGEST_BYTES:
            raise PinParseError(
                f"a SHA-256 digest has {DIGEST_BYTES} bytes, and this has {len(self.digest)}",
                fix="copy the whole pin again",
            )

    @staticmethod
    def of_key(spki_sha256: bytes) -> Pin:
        """Return the pin of a public key, from the SHA-256 of its SubjectPublicKeyInfo."""
        return Pin("sha256", spki_sha256)

    @staticmethod
    def parse(text: str) -> Pin:
        """Parse a pin as certpin, curl, RFC 7469 or openssl write it.

        ``sha256/…``, ``sha256//…`` and ``pin-sha256="…"`` contain strict base64; ``cert-sha256/…``
        and ``sha256 Fingerprint=…`` contain hexadecimal.

        Raises:
            PinParseError: the text is not a pin.
        """
        if len(text) == _CANONICAL_LENGTH and text.startswith("sha256/"):
            return Pin("sha256", _base64(text[7:]))  # as certpin writes it
        text = text.strip()
        if match := _SPKI.fullmatch(text):
            return Pin("sha256", _base64(_without_second_slash(match[1])))
        if match := _RFC7469.fullmatch(text):
            return Pin("sha256", _base64(match[2]))
        if match := _CERTIFICATE.fullmatch(text):
            return Pin("cert-sha256", _hexadecimal(match[1]))
        raise PinParseError(f"{quoted(text)} is not a pin", fix=_SPELLINGS)

    @property
    def is_placeholder(self) -> bool:
        """True for a pin copied from documentation, or one repeated byte or letter."""
        digest = self.digest
        if digest[3:31] == digest[:28]:  # a repeated letter of base64 repeats three bytes
            letters = base64.b64encode(digest)[:-2]  # the last two depend on the padding
            return 1 in {len(set(digest)), len(set(letters))} or digest in _examples()
        return digest in _examples()

    def __str__(self) -> str:
        if self.kind == "sha256":
            return f"sha256/{base64.b64encode(self.digest).decode()}"
        return f"cert-sha256/{self.digest.hex(':').upper()}"


def pins_of(certificate: Certificate) -> tuple[Pin, Pin]:
    """Return the SPKI pin and the certificate pin of a certificate."""
    return Pin("sha256", certificate.spki_sha256), Pin("cert-sha256", certificate.sha256)


def _without_second_slash(text: str) -> str:
    """Remove the second slash that curl writes after ``sha256``.

    A digest can begin with a slash too, so the length decides.
    """
    return text if len(text) == _BASE64_LENGTH else text.removeprefix("/")


def _base64(text: str) -> bytes:
    """Decode strict base64 (RFC 4648 section 3.5): only the canonical text is accepted."""
    try:
        digest = binascii.a2b_base64(text, strict_mode=True)
    except ValueError as exc:  # binascii.Error, or a text that is not ASCII
        raise PinParseError(f"{quoted(text)} is not base64", fix=_SPELLINGS) from exc
    strict = binascii.b2a_base64(digest, newline=False).decode()
    if strict != text:
        raise PinParseError(
            f"{quoted(text)} is not canonical base64: another text has the same bytes",
            fix=f"write sha256/{strict}" if len(digest) == DIGEST_BYTES else _SPELLINGS,
        )
    return digest


def _hexadecimal(text: str) -> bytes:
    if not _HEX.fullmatch(text):
        raise PinParseError(
            f"{quoted(text)} is not 32 bytes in hexadecimal",
            fix="copy it from: openssl x509 -noout -fingerprint -sha256",
        )
    return bytes.fromhex(text.replace(":", ""))


@cache
def _examples() -> frozenset[bytes]:
    """Return the digests of pins in well-known documentation, and of an empty input."""
    return frozenset(
        base64.b64decode(text)
        for text in (
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",  # SHA-256 of no bytes
            "jv795gmbOx+hGntTd9F/j95Utjg8CZPGtSx4CydoLNM=",  # certpin's own documentation
            "1Iz14ncmHLFeqFFiap/nA1j+zxPJsit12rx3lnSsAS4=",
            "d6qzRu9zOECb90Uez27xWltNsj0e1Md7GkYYkVoZWmM=",  # RFC 7469 section 2.1.5
            "E9CZ9INDbd+2eRQozYqqbQ2yXLVKB9+xcprMF+44U1g=",
            "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=",
            "7HIpactkIAq2Y49orFOOQKurWxmmSFZhBCoQYcRhJ3Y=",  # Android's documentation
            "fwza0LRMXouZHRC8Ei+4PyuldPDcf3UKgO/04cDM1oE=",
            "HXXQgxueCIU5TTLHob/bPbwcKOKw6DkfsTWYHbxbqTY=",  # TrustKit's documentation
            "0SDf3cRToyZJaMsoS17oF72VMavLxj/N7WBNasNuiR8=",
        )
    )
