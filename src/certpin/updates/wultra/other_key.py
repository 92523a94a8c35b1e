"""Which key made signatures that are not those of the key that was given.

A signature of ECDSA and its text leave two public keys, one of which made it (SEC 1 section 4.1.6).
Where one of the two verifies another entry's signature as well, that is the key. The arithmetic
below is not fit for secrets: it has none, and what it finds is verified.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from certpin.updates.wultra.mistakes import verifies

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

    Point = tuple[int, int] | None  # None is the point at infinity
    Signed = tuple[bytes, bytes]  # a text, and its signature

# P-256 (SEC 2 section 2.4.2): the field, the order, and the base point.
_P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
# How many entries are taken as the first, at some 50 ms each, and how many it is compared with:
# unless most of a list are strays, two of these have one key.
_TRIED = 3
_COMPARED = 16


def other_key(entries: Sequence[Signed]) -> EllipticCurvePublicKey | None:
    """The key that signed two of these entries, or more; ``None`` where none is found."""
    different = list(dict(entries).items())  # two of one text would prove any key
    for text, signature in different[:_TRIED]:
        others = [each for each in different[:_COMPARED] if each[0] != text]
        for key in _candidates(text, signature):
            if any(verifies(key, other, words) for words, other in others):
                return key
    return None


def _candidates(text: bytes, signature: bytes) -> Iterator[EllipticCurvePublicKey]:
    """The keys that may have made a signature: (s/r) R - (z/r) G, for both R (SEC 1 4.1.6)."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    try:
        r, s = decode_dss_signature(signature)
        points = [_point(sign, r % _N) for sign in (2, 3)]
        inverse = pow(r, -1, _N)
    except ValueError:  # it is no DER, or no number of a signature
        return
    z = int.from_bytes(hashlib.sha256(text).digest(), "big")
    for point in points:
        found = _add(_times(s * inverse % _N, point), _times(-z * inverse % _N, _G))
        if found:
            yield ec.EllipticCurvePublicNumbers(*found, ec.SECP256R1()).public_key()


def _point(sign: int, x: int) -> Point:
    """The point of a first coordinate, with the second as ``sign`` says (SEC 1 section 2.3.4)."""
    from cryptography.hazmat.primitives.asymmetric import ec

    encoded = bytes([sign]) + x.to_bytes(32, "big")
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), encoded)
    numbers = key.public_numbers()
    return numbers.x, numbers.y


def _times(factor: int, point: Point) -> Point:
    found: Point = None
    while factor:
        if factor & 1:
            found = _add(found, point)
        point = _add(point, point)
        factor >>= 1
    return found


def _add(left: Point, right: Point) -> Point:
    """The sum of two points (SEC 1 section 2.2.1)."""
    if left is None or right is None:
        return left or right
    if left[0] == right[0] and (left[1] + right[1]) % _P == 0:
        return None
    if left == right:
        slope = (3 * left[0] ** 2 - 3) * pow(2 * left[1], -1, _P)
    else:
        slope = (right[1] - left[1]) * pow(right[0] - left[0], -1, _P)
    x = (slope**2 - left[0] - right[0]) % _P
    return x, (slope * (left[0] - x) - left[1]) % _P
