"""What was signed in place of the right text: the known mistakes, tried one after the other.

An early README of Wultra's ssl-pinning-tool has a recipe for openssl that signs NAME & EXPIRES &
FINGERPRINT, each on a line of its own, since ``echo`` ends lines. The recipe before that one signs
EXPIRES & FINGERPRINT, with SHA-1. The SDKs refuse what both make, and say "invalid signature", no
more.
"""

from __future__ import annotations

import hashlib
from itertools import permutations, product
from typing import TYPE_CHECKING, NamedTuple

from certpin.updates.wultra.finding import Finding
from certpin.updates.wultra.rules import MILLISECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

    from certpin.updates.wultra.listing import Entry

SIGN_ANEW = (
    "sign it anew, with certpin publish wultra; or by hand: printf '%s&%s&%s' NAME FINGERPRINT "
    "EXPIRES | openssl dgst -sha256 -sign wultra.key | openssl base64 -A"
)
# The second of these recipes makes three mistakes at once.
_AT_ONCE = 3
_RIGHT = ("name", "fingerprint", "expires")
_RAW_BYTES = 64  # two numbers of 32 bytes side by side (IEEE P1363)


class _Part(NamedTuple):
    """One piece of what may have been signed, and the mistake that it is, if it is one."""

    text: str
    wrong: Finding | None = None


class _Hash(NamedTuple):
    """What was hashed, by which function."""

    name: str
    before: Callable[[bytes], bytes] = bytes
    wrong: Finding | None = None


def explain(entry: Entry, signature: bytes, key: EllipticCurvePublicKey) -> tuple[Finding, ...]:
    """The mistakes that made a signature which does not hold; none where no known ones did.

    It verifies some thousand times, which takes a fraction of a second.
    """
    for hashed, (der, raw) in product(_HASHES, _shapes(signature)):
        for text, wrong in _texts(entry):
            found = (*wrong, *(each for each in (hashed.wrong, raw) if each))
            if 0 < len(found) <= _AT_ONCE and verifies(key, der, hashed.before(text), hashed.name):
                return found
    return ()


def verifies(
    key: EllipticCurvePublicKey, signature: bytes, text: bytes, name: str = "SHA256"
) -> bool:
    """Whether this is an ECDSA signature, as DER (RFC 3279 section 2.2.3), of a text."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        key.verify(signature, text, ec.ECDSA(getattr(hashes, name)()))
    except InvalidSignature:
        return False
    return True


def _texts(entry: Entry) -> Iterator[tuple[bytes, list[Finding]]]:
    """What may have been signed."""
    for order, joint, end in product(_orders(), _JOINTS, _ENDS):
        names = order.text.split()
        for parts in product(*(_spellings(entry, name) for name in names)):
            text = joint.text.join(part.text for part in parts) + end.text
            pieces = (order, joint, end, *parts)
            yield text.encode(), [each.wrong for each in pieces if each.wrong]


def _orders() -> Iterator[_Part]:
    for names in (*permutations(_RIGHT), *permutations(_RIGHT, 2)):
        wrong = Finding(
            "order",
            f"{' & '.join(names)} is what was signed; the SDKs verify {' & '.join(_RIGHT)}",
            SIGN_ANEW,
        )
        yield _Part(" ".join(names), None if names == _RIGHT else wrong)


def _spellings(entry: Entry, field: str) -> Iterator[_Part]:
    if field == "name":
        yield _Part(entry.name)
    elif field == "fingerprint":
        yield _Part(entry.fingerprint)
        if entry.digest:
            yield _Part(entry.digest.hex(), _wrong("hexadecimal", "the fingerprint in hexadecimal"))
    else:
        yield _Part(str(entry.expires))
        if entry.seconds and entry.seconds < MILLISECONDS:
            yield _Part(f"{entry.seconds}000", _wrong("milliseconds", "expires in milliseconds"))


def _shapes(signature: bytes) -> Iterator[tuple[bytes, Finding | None]]:
    """The signature, as DER: it may be two bare numbers."""
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    yield signature, None
    if len(signature) == _RAW_BYTES:
        half = _RAW_BYTES // 2
        numbers = (signature[:half], signature[half:])
        yield encode_dss_signature(*(int.from_bytes(each, "big") for each in numbers)), _RAW


def _wrong(rule: str, what: str) -> Finding:
    return Finding(rule, f"{what} is what was signed", SIGN_ANEW)


def _line_break(what: str) -> Finding:
    fix = f"echo ends each line, and that is signed too: {SIGN_ANEW}"
    return Finding("line-break", f"a text with {what} is what was signed", fix)


def _hash_of_hash(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _hash_of_hex(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode()


_JOINTS = (
    _Part("&"),
    _Part("\n&\n", _line_break("each part on a line of its own")),
    _Part("", _wrong("separator", "a text without & between its parts")),
)
_ENDS = (
    _Part(""),
    _Part("\n", _line_break("a line break at its end")),
    _Part("\r\n", _line_break("a line break of Windows at its end")),
)
_RAW = Finding(
    "raw-signature",
    "the signature is two bare numbers (IEEE P1363); the SDKs read DER",
    "write it as openssl does; Java's SHA256withECDSA is that, and WebCrypto's ECDSA is not",
)
_TWICE = _wrong("hash", "the hash of the text, hashed a second time,")
_HASHES = (
    _Hash("SHA256"),
    _Hash("SHA256", _hash_of_hash, _TWICE),
    _Hash("SHA256", _hash_of_hex, _TWICE),
    *(
        _Hash(name, wrong=_wrong("hash", f"the {words} of the text"))
        for name, words in (("SHA1", "SHA-1"), ("SHA384", "SHA-384"), ("SHA512", "SHA-512"))
    ),
)
