"""The report format of RFC 7469 section 3: browsers sent it, and many libraries still do.

The format contains neither the app, nor the pin set, nor the decision. The connection is assumed to
have been refused, as the enforcing header demands (RFC 7469 section 2.1).

A report's identity, by which repeated uploads are recognised, is a digest of time, host, port, host
of the policy (``noted-hostname``), pins and both chains.
"""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any

from certpin.reports.codecs.fields import MAX_PORT, Codec, Fields, digest_of, pems_of
from certpin.reports.model import Report

if TYPE_CHECKING:
    from datetime import datetime


def _recognises(document: object) -> bool:
    return isinstance(document, dict) and "hostname" in document and "date-time" in document


def _decode(document: dict[str, Any], received: datetime) -> tuple[Report, ...]:
    fields = Fields(document)
    at, host, port = fields.time("date-time"), fields.host("hostname"), port_of(fields)
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
    """Return a report as a JSON object in the format of RFC 7469.

    Pins of whole certificates are left out, because the RFC has only pins of public keys.
    """
    fields: dict[str, Any] = {
        "date-time": time_text(report.at),
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
        fields["effective-expiration-date"] = time_text(report.expires)
    return fields


def port_of(fields: Fields) -> int:
    """Return the port of the reported connection, from the field ``port``; 0 if it is missing.

    ``fields`` are those of the report.
    """
    return fields.number("port", MAX_PORT)


def pattern_of(fields: Fields) -> str:
    """Return the host pattern of the policy in a report.

    ``fields`` are those of the report. The pattern combines ``noted-hostname`` and
    ``include-subdomains``. It is empty if the report has no ``noted-hostname``.
    """
    return fields.pattern("noted-hostname", below=fields.flag("include-subdomains"))


def time_text(time: datetime) -> str:
    """Return a time as text in the format of RFC 3339, in UTC."""
    return time.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z"


RFC7469 = Codec("rfc7469", "application/json", _recognises, _decode, encode)
