"""Cases of keys that are nearly pinned: the key of another host, and a key with a similar pin."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from certpin.lab.authority import new_rsa_key
from certpin.lab.case import PINS_REJECT, Case, Family
from certpin.lab.scenario import Scenario, ServerStep

if TYPE_CHECKING:
    from certpin.lab.pki import TestPKI

# The equal bits at the beginning of both digests: three characters of base64. Each further one
# takes 64 times as long (about 0.3 s for three).
_GROUND_BITS = 18
_EXPONENT_SIZE = 4  # bytes: all exponents below have as many, and so all keys the same DER header


def _second_hosts_key(pki: TestPKI) -> Scenario:
    return Scenario.of(ServerStep.of(pki.rogue.issue(pki.host, key=pki.second_leaf.key)))


def _similar_pin(pki: TestPKI) -> Scenario:
    policy = pki.pins.policy_for(pki.host) if pki.pins else None
    pin = policy.pins[0].pin if policy else pki.leaf.pin
    return Scenario.of(ServerStep.of(pki.rogue.issue(pki.host, key=similar_key(pin.digest))))


@lru_cache(maxsize=64)  # each attempt at the case, and each style of a test, wants the same key
def similar_key(digest: bytes) -> rsa.RSAPrivateKey:
    """Return an RSA key with a pin that begins like that of another key.

    Only the public exponent varies, the last field of the SPKI, so that a try costs one block of
    SHA-256 (RFC 8017 section 3.1 allows any exponent prime to λ(n)).

    Args:
        digest: the SHA-256 of the other key's SPKI.
    """
    numbers = new_rsa_key().private_numbers()
    p, q, n = numbers.p, numbers.q, numbers.public_numbers.n
    spki = rsa.RSAPublicNumbers((1 << 24) + 1, n).public_key()
    der = spki.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    beginning = hashlib.sha256(der[:-_EXPONENT_SIZE])
    wanted = int.from_bytes(digest) >> (256 - _GROUND_BITS)
    for exponent in range((1 << 24) + 1, 1 << 31, 2):
        tried = beginning.copy()
        tried.update(exponent.to_bytes(_EXPONENT_SIZE))
        if int.from_bytes(tried.digest()[:4]) >> (32 - _GROUND_BITS) != wanted:
            continue
        try:
            private = pow(exponent, -1, (p - 1) * (q - 1))
        except ValueError:
            continue  # not prime to λ(n)
        return rsa.RSAPrivateNumbers(
            p=p,
            q=q,
            d=private,
            dmp1=private % (p - 1),
            dmq1=private % (q - 1),
            iqmp=numbers.iqmp,
            public_numbers=rsa.RSAPublicNumbers(exponent, n),
        ).private_key()
    raise AssertionError("a thousand million exponents, and no digest of 18 bits")


LOOKALIKES = (
    Case(
        name="second-host-key",
        family=Family.AUTHORITY,
        presents="R2→L′ with the key of the second host's honest server",
        expected=PINS_REJECT,
        guards="that each host has its own pins: in one pool for all hosts, the key of the weakest "
        "server opens all of them",
        reference="RFC 7469 section 2.6: pins are noted for a host",
        fix="look the pins up by the host of the connection, and compare with those only",
        scenario=_second_hosts_key,
    ),
    Case(
        name="similar-pin",
        family=Family.AUTHORITY,
        presents="R2→L′ with a key that has a pin with the same first three characters",
        expected=PINS_REJECT,
        guards="that whole digests are compared: an attacker makes a key for a short beginning in "
        "a second, and for 8 characters in days",
        reference="CWE-1023: incomplete comparison",
        fix="compare all 32 bytes of the digest; don't cut pins for logs and then compare those",
        scenario=_similar_pin,
    ),
)
