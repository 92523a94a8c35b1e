"""RFC 7469, section 3: what browsers sent, and many libraries still write.

It says nothing of the app and of the pin set, and not whether the connection was refused: the
header that asks for enforcing is taken for granted (RFC 7469 section 2.1).

The identity is a digest of moment, host, port, noted host, pins and both chains.
"""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any

from certpin.reports.codecs.codec import Codec
from certpin.reports.codecs.fields import MAX_PORT, Fields
from certpin.reports.codecs.identities import digest_of
from certpin.reports.codecs.pem import pems_of
from certpin.reports.model import Report

if TYPE_CHECKING:
    from datetime import datetime


def _recognises(document: object) -> bool:
    return isinstance(document, dict) and "hostname" in document and "date-time" in document


def _decode(document: dict[str, Any], received: datetime) -> tuple[Report, ...]:
    fields = Fields(document)
    at, host, port = fields.moment("date-time"), fields.host("hostname"), port_of(fields)
    pattern = pattern_of(fields)
    served = fields.chain("served-certificate-chain")
    verified = fields.chain("validated-certificate-chain")
    pins = fields.pins("known-pins")
    texts = (at.isoformat(), host, str(port), pattern, *pins)
    report = Report(
        kind="rfc7469",
        at=at,
        host=host,
        port=port,
        decision="refuse",
        reason="mismatch",
        identity=digest_of("rfc7469", texts, served, verified),
        pattern=pattern,
        served=served,
        verified=verified,
        known_pins=pins,
        expires=fields.expiry("effective-expiration-date"),
    )
    return (report,)


def encode(report: Report) -> dict[str, Any]:
    """Pins of whole certificates are left out: the RFC has none."""
    fields: dict[str, Any] = {
        "date-time": moment_text(report.at),
        "hostname": report.host,
        "port": report.port,
        "include-subdomains": report.pattern.startswith("**."),
        "noted-hostname": report.pattern.rpartition("*.")[2] or report.host,
        "served-certificate-chain": pems_of(report.served),
        "validated-certificate-chain": pems_of(report.verified),
        "known-pins": [
            f'pin-sha256="{pin[7:]}"' for pin in report.known_pins if pin.startswith("sha256/")
        ],
    }
    if report.expires is not None:
        fields["effective-expiration-date"] = moment_text(report.expires)
    return fields


def port_of(fields: Fields) -> int:
    """The port that was called; 0 where it is not known."""
    return fields.number("port", MAX_PORT)


def pattern_of(fields: Fields) -> str:
    """The pattern that a noted host and its subdomains make; empty where none is noted."""
    return fields.pattern("noted-hostname", below=fields.flag("include-subdomains"))


def moment_text(moment: datetime) -> str:
    """A moment as RFC 3339 has it, in UTC."""
    return moment.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z"


RFC7469 = Codec("rfc7469", "application/json", _recognises, _decode, encode)
