"""The issuers of a served chain: the path from its leaf, and the extra certificates.

Names can lie, so signatures are checked: that is what forged chains are about.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.utils import CryptographyDeprecationWarning

from certpin.lab.report.certificates import Facts, read

if TYPE_CHECKING:
    from datetime import datetime

    from certpin.pins import HostPin


class Signature(StrEnum):
    """How a certificate and the one above it are related."""

    GOOD = "signed by the key above"
    BAD = "not signed by the key above: the name alone is right"
    UNCHECKED = "says that it is signed by the key above; this cannot be checked"
    MISSING = "signed by somebody who was not sent, and is not trusted"
    ITSELF = "signed by itself"


_PREFERRED = [Signature.GOOD, Signature.UNCHECKED, Signature.BAD]


@dataclass(frozen=True)
class Scene:
    """What a chain is looked at against: the host that was asked for, the client's trust, a clock.

    ``leaf_key`` is the pin of the key that the server proved itself with; empty where that is
    not known.
    """

    host: str
    trusted: tuple[bytes, ...] = ()
    pins: tuple[HostPin, ...] = ()
    now: datetime | None = None
    leaf_key: str = ""


@dataclass(frozen=True)
class Place:
    """One certificate of a strand. ``above`` is its issuer, real or apparent."""

    facts: Facts
    sent: bool
    trusted: bool
    pinned: str  # the role of the live pin that matches it, or nothing
    compromised: bool  # whether the client's pin set marks its key so
    above: Signature


@dataclass(frozen=True)
class Strand:
    """Certificates from the lowest up. The first strand is the path; the others are extra."""

    places: tuple[Place, ...]
    on_path: bool

    @property
    def trusted(self) -> bool:
        """Whether valid signatures lead to a trusted root."""
        *below, top = self.places
        return top.trusted and all(each.above is Signature.GOOD for each in below)


def strands(sent: tuple[bytes, ...], scene: Scene) -> tuple[Strand, ...]:
    """Return the path from the leaf up, then a strand for each remaining certificate."""
    found: list[Strand] = []
    seen: set[bytes] = set()
    for der in dict.fromkeys(sent):
        if der in seen:
            continue
        climbed = _climb(der, (*scene.trusted, *sent))
        seen.update(each for each, _ in climbed)
        places = tuple(_place(each, above, sent, scene) for each, above in climbed)
        found.append(Strand(places, on_path=not found))
    return tuple(found)


def _climb(der: bytes, others: tuple[bytes, ...]) -> list[tuple[bytes, Signature]]:
    """Follow issuers from this certificate up until none is found. Cycles are cut."""
    path = [der]
    climbed: list[tuple[bytes, Signature]] = []
    while True:
        issuer, link = _above(path[-1], [each for each in others if each not in path])
        climbed.append((path[-1], link))
        if issuer is None:
            return climbed
        path.append(issuer)


def _above(der: bytes, others: list[bytes]) -> tuple[bytes | None, Signature]:
    child = read(der)
    if child.issuer is None:
        return None, Signature.UNCHECKED
    if child.issuer == child.subject:
        return None, Signature.ITSELF
    named = [each for each in others if read(each).subject == child.issuer]
    signed = [(each, signature(child, read(each))) for each in named]
    nobody = (None, Signature.MISSING)
    return min(signed, key=lambda pair: _PREFERRED.index(pair[1]), default=nobody)


def signature(child: Facts, issuer: Facts) -> Signature:
    """Return True if the issuer's key made the child's signature. Their names already match."""
    if child.parsed is None or issuer.parsed is None:
        return Signature.UNCHECKED
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CryptographyDeprecationWarning)
            child.parsed.verify_directly_issued_by(issuer.parsed)
    except InvalidSignature:
        return Signature.BAD
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return Signature.UNCHECKED  # an algorithm or a key that is not read here
    return Signature.GOOD


def _place(der: bytes, above: Signature, sent: tuple[bytes, ...], scene: Scene) -> Place:
    facts = read(der)
    matching = [entry for entry in scene.pins if str(entry.pin) in facts.pins]
    return Place(
        facts,
        sent=der in sent,
        trusted=der in scene.trusted,
        pinned=next((entry.role for entry in matching if entry.live), ""),
        compromised=any(entry.state == "compromised" for entry in matching),
        above=above,
    )
