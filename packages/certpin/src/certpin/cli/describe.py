"""Certificates and keys as text and as JSON: the same fields, in the same order."""

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

    FieldReader = Callable[[Certificate], Any]


def certificate_json(certificate: Certificate, now: datetime) -> dict[str, Any]:
    """Return a certificate as JSON. A field that can't be parsed is ``null``."""

    def field(read: FieldReader) -> Any:
        try:
            return read(certificate)
        except CertificateParseError:
            return None

    return {
        "source": "certificate",
        "subject": field(lambda c: c.subject),
        "issuer": field(lambda c: c.issuer),
        "names": field(lambda c: list(c.names)),
        "serial": field(lambda c: f"{c.serial_number:x}"),
        "not_before": field(lambda c: c.not_before.isoformat()),
        "not_after": field(lambda c: c.not_after.isoformat()),
        "days_left": field(lambda c: days_left(c.not_after, now)),
        "key": certificate.key,
        "pin": str(Pin("sha256", certificate.spki_sha256)),
        "certificate_pin": str(Pin("cert-sha256", certificate.sha256)),
    }


def key_json(key: PublicKey) -> dict[str, Any]:
    """Return a key as JSON."""
    return {
        "source": key.source,
        "key": key.key,
        "pin": str(Pin("sha256", key.spki_sha256)),
        "caveat": key.caveat or None,
    }


def certificate_lines(certificate: Certificate, title: str, now: datetime) -> Iterable[str]:
    """Return a certificate as lines of text."""
    fields = certificate_json(certificate, now)
    yield click.style(f"{title}: {fields['subject'] or '(subject cannot be read)'}", bold=True)
    yield from _column(
        {
            "issuer": fields["issuer"],
            "names": ", ".join(fields["names"] or ()),
            "valid": _validity(fields),
            "key": fields["key"],
            "pin": fields["pin"],
            "certificate": fields["certificate_pin"],
        }
    )


def key_lines(key: PublicKey) -> Iterable[str]:
    """Return a key as lines of text."""
    fields = key_json(key)
    yield click.style(f"{fields['source']}: {fields['key']}", bold=True)
    yield from _column({"pin": fields["pin"], "note": fields["caveat"]})


def item_json(item: Certificate | PublicKey, now: datetime) -> dict[str, Any]:
    """Return a certificate or a key as JSON."""
    if isinstance(item, Certificate):
        return certificate_json(item, now)
    return key_json(item)


def item_lines(item: Certificate | PublicKey, now: datetime) -> Iterable[str]:
    """Return a certificate or a key as lines of text."""
    if isinstance(item, Certificate):
        return certificate_lines(item, "certificate", now)
    return key_lines(item)


def days_left(moment: datetime, now: datetime) -> int:
    """Return the whole days until a time; negative if it is past."""
    return (moment - now).days


def _validity(fields: dict[str, Any]) -> str:
    if fields["not_before"] is None or fields["not_after"] is None:
        return "(dates cannot be read)"
    days = fields["days_left"]
    left = f"{in_days(days)} left" if days >= 0 else click.style("expired", fg="red")
    return f"{fields['not_before'][:10]} to {fields['not_after'][:10]} ({left})"


def _column(fields: dict[str, str | None]) -> Iterable[str]:
    return (f"  {name:<12} {value}" for name, value in fields.items() if value)
