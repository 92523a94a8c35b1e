"""Certificates and keys in words and in JSON: the same facts, in the same order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from certpin.errors import CertificateParseError
from certpin.pins import Pin
from certpin.support.text import in_days
from certpin.x509 import Certificate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from certpin.x509.keys import PublicKey

    Fact = Callable[[Certificate], Any]


def certificate_json(certificate: Certificate, now: datetime) -> dict[str, Any]:
    """A certificate as JSON. A field that makes no sense is ``null``."""

    def fact(read: Fact) -> Any:
        try:
            return read(certificate)
        except CertificateParseError:
            return None

    return {
        "source": "certificate",
        "subject": fact(lambda c: c.subject),
        "issuer": fact(lambda c: c.issuer),
        "names": fact(lambda c: list(c.names)),
        "serial": fact(lambda c: f"{c.serial_number:x}"),
        "not_before": fact(lambda c: c.not_before.isoformat()),
        "not_after": fact(lambda c: c.not_after.isoformat()),
        "days_left": fact(lambda c: days_left(c.not_after, now)),
        "key": certificate.key,
        "pin": str(Pin("sha256", certificate.spki_sha256)),
        "certificate_pin": str(Pin("cert-sha256", certificate.sha256)),
    }


def key_json(key: PublicKey) -> dict[str, Any]:
    """A key as JSON."""
    return {
        "source": key.source,
        "key": key.key,
        "pin": str(Pin("sha256", key.spki_sha256)),
        "caveat": key.caveat or None,
    }


def certificate_lines(certificate: Certificate, title: str, now: datetime) -> Iterable[str]:
    """A certificate as text."""
    facts = certificate_json(certificate, now)
    yield click.style(f"{title}: {facts['subject'] or '(subject cannot be read)'}", bold=True)
    yield from _column(
        {
            "issuer": facts["issuer"],
            "names": ", ".join(facts["names"] or ()),
            "valid": _validity(facts),
            "key": facts["key"],
            "pin": facts["pin"],
            "certificate": facts["certificate_pin"],
        }
    )


def key_lines(key: PublicKey) -> Iterable[str]:
    """A key as text."""
    facts = key_json(key)
    yield click.style(f"{facts['source']}: {facts['key']}", bold=True)
    yield from _column({"pin": facts["pin"], "note": facts["caveat"]})


def item_json(item: Certificate | PublicKey, now: datetime) -> dict[str, Any]:
    """Whatever stood in a file, as JSON."""
    if isinstance(item, Certificate):
        return certificate_json(item, now)
    return key_json(item)


def item_lines(item: Certificate | PublicKey, now: datetime) -> Iterable[str]:
    """Whatever stood in a file, as text."""
    if isinstance(item, Certificate):
        return certificate_lines(item, "certificate", now)
    return key_lines(item)


def days_left(moment: datetime, now: datetime) -> int:
    """Whole days until a moment; negative when it is past."""
    return (moment - now).days


def _validity(facts: dict[str, Any]) -> str:
    if facts["not_before"] is None or facts["not_after"] is None:
        return "(dates cannot be read)"
    days = facts["days_left"]
    left = f"{in_days(days)} left" if days >= 0 else click.style("expired", fg="red")
    return f"{facts['not_before'][:10]} to {facts['not_after'][:10]} ({left})"


def _column(facts: dict[str, str | None]) -> Iterable[str]:
    return (f"  {name:<12} {value}" for name, value in facts.items() if value)
