"""Keys with pins that begin alike: an attacker's, and an honest one that is quick to imitate."""

from __future__ import annotations

import hashlib
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from certpin.lab.authority import new_key, rsa_key_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptography.hazmat.primitives.asymmetric import ec, rsa

# The equal bits at the beginning of both digests: three characters of base64. Each further one
# takes 64 times as long (about 0.2 s for three).
_GROUND_BITS = 18
# The first primes above 3·2^1022 and 7·2^1021 that are safe: (p - 1) / 2 is prime, too. Anyone can
# compute the attacker's private key, which protects nothing.
SAFE_PRIMES = (3 << 1022) + 947_267, (7 << 1021) + 1_190_739
# RFC 8017 section 3.1 allows any exponent prime to λ(n): any odd one, because the primes are safe.
# All of these have 4 bytes, and so all keys the same DER header.
_EXPONENTS = range((1 << 24) + 1, 1 << 31, 2)
_EXPONENT_SIZE = 4
_READY = 4096  # exponents that are tried before there is a pin to imitate


def imitable_key() -> ec.EllipticCurvePrivateKey:
    """Return a new P-256 key with a pin that ``similar_key`` imitates without work.

    An attacker has to try 2^18 keys against one pin. Who makes both keys tries a few of each: one
    P-256 key in 64 has a pin that begins like that of one of 4,096 RSA keys.
    """
    while True:
        key = new_key()
        if _beginning(hashlib.sha256(_info(key)).digest()) in _ready():
            return key


@cache
def _ready() -> dict[int, int]:
    """Return the beginnings of the pins of some RSA keys, each with the key's exponent."""
    return {beginning: exponent for exponent, beginning in _tried(_EXPONENTS[:_READY])}


def _tried(exponents: range) -> Iterator[tuple[int, int]]:
    """Yield each exponent with the beginning of the pin of the RSA key that has it.

    The exponent is the last field of the SPKI, so that a try costs one block of SHA-256.
    """
    before = hashlib.sha256(_info(rsa_key_of(*SAFE_PRIMES, exponents[0]))[:-_EXPONENT_SIZE])
    for exponent in exponents:
        tried = before.copy()
        tried.update(exponent.to_bytes(_EXPONENT_SIZE))
        yield exponent, _beginning(tried.digest())


def _info(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _beginning(digest: bytes) -> int:
    return int.from_bytes(digest[:4]) >> (32 - _GROUND_BITS)


@lru_cache(maxsize=64)  # each attempt at the case, and each style of a test, wants the same key
def similar_key(digest: bytes) -> rsa.RSAPrivateKey:
    """Return an RSA key with a pin that begins like that of another key.

    For a key that is not from ``imitable_key``, such as that of a real server, this takes a while.

    Args:
        digest: the SHA-256 of the other key's SPKI.
    """
    wanted = _beginning(digest)
    exponent = _ready().get(wanted) or next(
        exponent for exponent, beginning in _tried(_EXPONENTS[_READY:]) if beginning == wanted
    )
    return rsa_key_of(*SAFE_PRIMES, exponent)
