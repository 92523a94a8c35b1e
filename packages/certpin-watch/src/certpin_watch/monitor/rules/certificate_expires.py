"""A certificate of a path ends soon, or has ended.

When that is soon stands in ``watch/expiry.py``; where a tenth of its life is left, it is critical.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from certpin.errors import CertificateParseError
from certpin.rotation.adoption import in_utc
from certpin.support.text import in_days
from certpin.x509 import name_of
from certpin_watch.expiry import HAS_EXPIRED, warning_period
from certpin_watch.monitor.case import describe
from certpin_watch.monitor.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.x509 import Certificate
    from certpin_watch.finding import Finding, Severity
    from certpin_watch.monitor.case import Case, Look

EXPIRES, EXPIRED = "certificate-expires", "certificate-expired"
_CRITICAL = 10  # part of its life


@dataclass
class _Place:
    """A certificate, where it was seen, and whether it is above the leaf."""

    certificate: Certificate
    authority: bool
    looks: list[Look] = field(default_factory=list)


def _expires(case: Case) -> Iterator[Finding]:
    for place in _places(case):
        certificate, left = place.certificate, place.certificate.not_after - case.now
        severity = _severity(case, place, left)
        if severity is None or left <= timedelta(0):
            continue
        yield _finding(
            case,
            place,
            EXPIRES,
            severity,
            f"{_named(place)} ends in {in_days(left.days)}, on {in_utc(certificate.not_after)}",
        )


def _expired(case: Case) -> Iterator[Finding]:
    for place in _places(case):
        end = place.certificate.not_after
        if end <= case.now:
            words = f"{_named(place)} has ended on {in_utc(end)}: every client refuses it"
            yield _finding(case, place, EXPIRED, "critical", words)


def _severity(case: Case, place: _Place, left: timedelta) -> Severity | None:
    life = place.certificate.not_after - place.certificate.not_before
    if left < min(case.settings.certificate_critical, life / _CRITICAL):
        return "critical"
    covers = [(case.policy, case.charge.watched.timing.adopt)]
    warning = case.settings.certificate_warning
    soon = warning_period(place.certificate, warning, authority=place.authority, covers=covers)
    return "warning" if left < soon else None


def _places(case: Case) -> list[_Place]:
    """Each certificate of each path once; of a chain that has ended, what was served."""
    found: dict[bytes, _Place] = {}
    for look in case.looks:
        chain = look.verified or (look.served if look.code == HAS_EXPIRED else None)
        for at, certificate in enumerate(chain.certificates if chain else ()):
            if _end(certificate) is not None:
                place = found.setdefault(certificate.sha256, _Place(certificate, at > 0))
                place.looks.append(look)
    return list(found.values())


def _end(certificate: Certificate) -> datetime | None:
    with suppress(CertificateParseError):
        return max(certificate.not_after, certificate.not_before)
    return None


def _named(place: _Place) -> str:
    names = sorted({look.name for look in place.looks})
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    kind = "an authority above" if place.authority else "the certificate of"
    return f"{kind} {names[0]}{more} ({name_of(place.certificate)})"


def _finding(case: Case, place: _Place, rule: str, severity: Severity, words: str) -> Finding:
    return case.finding(
        rule,
        severity,
        words,
        case.check(place.looks[0]),
        subject=place.certificate.sha256.hex(),
        not_after=int(place.certificate.not_after.timestamp()),
        not_before=int(place.certificate.not_before.timestamp()),
        places=sorted({look.where for look in place.looks}),
        certificate=describe(place.certificate),
    )


RULE = Rule(
    EXPIRES,
    "a certificate of a verified path ends soon, measured by its own life",
    "Its renewal is overdue; when it ends, every client refuses the server. An authority that is "
    "pinned is told as long before as its successor needs to be adopted.",
    case=_expires,
)
RULE_EXPIRED = Rule(
    EXPIRED,
    "a certificate of a chain has ended",
    "Every client refuses the server, pinned or not.",
    case=_expired,
)
