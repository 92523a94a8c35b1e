"""certpin's own report format: RFC 7469 with more fields, listed in docs/guides/reporting.md.

The field ``schema`` distinguishes reports of failures from presences, which report the version of
the pin set that a client has. Documents of the Dart client have no ``schema``: they contain the
fields of RFC 7469, the pin set, the decision and the reason. Unknown fields are ignored, because a
newer client may send more.

A report's identity, by which repeated uploads are recognised, is the client's ``id``. If ``id`` is
missing, the identity is a digest of all fields except the expiry of the pins.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from certpin.reports.codecs import rfc7469
from certpin.reports.codecs.fields import MAX_VERSION, Codec, Fields, digest_of
from certpin.reports.model import Client, Presence, Report

if TYPE_CHECKING:
    from datetime import datetime

REPORT = "certpin-report/1"
PRESENCE = "certpin-presence/1"

_DECISIONS = dict.fromkeys(("refuse", "report", "accept"))
ID = re.compile(r"[A-Za-z0-9_-]{16,64}")  # 16 random bytes have 32 hexadecimal digits
_CLIENT = {
    "app": "app",
    "app_version": "app-version",
    "platform": "platform",
    "platform_version": "platform-version",
    "network": "network",
    "library": "library",
}


def _recognises(document: object) -> bool:
    if not isinstance(document, dict):
        return False
    schema = document.get("schema")
    if isinstance(schema, str):
        return schema.startswith("certpin-")
    return "pin-set" in document and "decision" in document and "hostname" in document


def _decode(document: dict[str, Any], received: datetime) -> tuple[Report | Presence, ...]:
    fields = Fields(document)
    if "schema" in document:
        schema = fields.one_of("schema", {REPORT: None, PRESENCE: None})
        if schema == PRESENCE:
            return (_presence(fields),)
    return (_report(fields),)


def _presence(fields: Fields) -> Presence:
    version = fields.number("pin-set-version", MAX_VERSION)
    name = fields.text("pin-set")
    if not name:
        fields.refuse("pin-set", "the name of the set is missing")
    if not version:
        fields.refuse("pin-set-version", f"this is not from 1 to {MAX_VERSION}, or is missing")
    identity = _id(fields) or fields.refuse("id", "this is missing")
    return Presence(fields.time("date-time"), name, version, identity, _client(fields))


def _report(fields: Fields) -> Report:
    at, host, port = fields.time("date-time"), fields.host("hostname"), rfc7469.port_of(fields)
    decision: Any = fields.one_of("decision", _DECISIONS)
    reason, client = fields.text("reason"), _client(fields)
    pattern = fields.pattern("policy") or rfc7469.pattern_of(fields)
    pin_set, version = fields.text("pin-set"), fields.number("pin-set-version", MAX_VERSION)
    served = fields.chain("served-certificate-chain")
    verified = fields.chain("validated-certificate-chain")
    pins, own = fields.pins("known-pins"), _id(fields)
    texts = (at.isoformat(), host, str(port), decision, reason, pattern, pin_set, str(version))
    return Report(
        kind="certpin",
        at=at,
        host=host,
        port=port,
        decision=decision,
        reason=reason,
        identity=own or digest_of("certpin", (*texts, *_texts(client), *pins), served, verified),
        client=client,
        pin_set=pin_set,
        pin_set_version=version,
        pattern=pattern,
        served=served,
        verified=verified,
        known_pins=pins,
        expires=fields.expiry("effective-expiration-date"),
        own_identity=bool(own),
    )


def _id(fields: Fields) -> str:
    """Return the identity of a report from its field ``id``; empty if the field is missing.

    The identity, by which repeated uploads are recognised, is the field's value after the prefix
    ``id:``. The prefix distinguishes it from an identity that is a digest. ``fields`` are those of
    the report.
    """
    own = fields.text("id")
    if own and not ID.fullmatch(own):
        fields.refuse("id", "this is not 16 to 64 of A-Z, a-z, 0-9, _ and -")
    return own and f"id:{own}"


def _client(fields: Fields) -> Client:
    return Client(*[fields.text(name) for name in _CLIENT.values()])


def encode(report: Report) -> dict[str, Any]:
    """Return a report of a pin failure as a JSON object in certpin's own format."""
    fields = {"schema": REPORT} | rfc7469.encode(report)
    if report.own_identity:
        fields["id"] = report.identity.removeprefix("id:")
    return fields | {
        "known-pins": [_pin(pin) for pin in report.known_pins],
        "policy": report.pattern,
        "pin-set": report.pin_set,
        "pin-set-version": report.pin_set_version,
        "decision": report.decision,
        "reason": report.reason,
        **_client_fields(report.client),
    }


def encode_presence(presence: Presence) -> dict[str, Any]:
    """Return a presence (the version of a pin set that a client has) as a JSON object."""
    return {
        "schema": PRESENCE,
        "id": presence.identity.removeprefix("id:"),
        "date-time": rfc7469.time_text(presence.at),
        "pin-set": presence.pin_set,
        "pin-set-version": presence.pin_set_version,
        **_client_fields(presence.client),
    }


def _texts(client: Client) -> tuple[str, ...]:
    return tuple([getattr(client, attribute) for attribute in _CLIENT])


def _client_fields(client: Client) -> dict[str, str]:
    fields = zip(_CLIENT.values(), _texts(client), strict=True)
    return {name: value for name, value in fields if value}


def _pin(pin: str) -> str:
    return f'pin-sha256="{pin[7:]}"' if pin.startswith("sha256/") else pin


CERTPIN = Codec("certpin", "application/json", _recognises, _decode, encode)
