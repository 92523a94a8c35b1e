"""ECDSA verification on P-256 with any generator, in plain integers, to test forged curves."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from certpin.lab.forge.curve import ORDER, PRIME, A

if TYPE_CHECKING:
    from cryptography import x509

Point = tuple[int, int]


def add(one: Point | None, other: Point | None) -> Point | None:
    """Return the sum of two points (SEC 1 version 2.0, section 2.2.1); None is infinity."""
    if one is None or other is None:
        return one or other
    (x1, y1), (x2, y2) = one, other
    if x1 == x2 and (y1 + y2) % PRIME == 0:
        return None
    if one == other:
        slope = (3 * x1 * x1 + A) * pow(2 * y1, -1, PRIME)
    else:
        slope = (y2 - y1) * pow(x2 - x1, -1, PRIME)
    x3 = (slope * slope - x1 - x2) % PRIME
    return x3, (slope * (x1 - x3) - y1) % PRIME


def times(number: int, point: Point | None) -> Point | None:
    total = None
    while number:
        if number & 1:
            total = add(total, point)
        point = add(point, point)
        number >>= 1
    return total


def holds(certificate: x509.Certificate, public: Point, generator: Point) -> bool:
    """Return True if a certificate's ECDSA signature over SHA-256 is valid (SEC 1 v2.0, 4.1.4).

    ``public`` is the issuer's public point, and ``generator`` the base point of the curve.
    """
    r, s = decode_dss_signature(certificate.signature)
    digest = hashlib.sha256(certificate.tbs_certificate_bytes).digest()
    inverse = pow(s, -1, ORDER)
    u1, u2 = int.from_bytes(digest) * inverse % ORDER, r * inverse % ORDER
    point = add(times(u1, generator), times(u2, public))
    return point is not None and point[0] % ORDER == r
