"""One JSON line for one sighting."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from certpin.errors import CertificateParseError
from certpin.pins import Pin
from certpin.pins.hosts import is_address

if TYPE_CHECKING:
    from certpin.errors import HostError, ProbeError
    from certpin.probe.scan.sighting import Sighting
    from certpin.x509 import Certificate, Chain

# Every record has them all, in this order. ``resume`` recognises a record by how it begins.
_HEAD = {"schema": 1, "command": "scan"}
_FIELDS = (
    *("host", "port", "address", "attempts", "seconds", "tls"),
    *("chain_verified", "refusal", "name_matches"),
    *("subject", "issuer", "not_after", "key", "certificate_pin"),
    *("served", "verified", "error"),
)
_NOTHING: dict[str, Any] = _HEAD | dict.fromkeys(_FIELDS)
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

# What OpenSSL lets a wildcard stand for, and what it lets stand behind one: two labels at least,
# and no underscore in either (wildcard_match and valid_star, crypto/x509/v3_utl.c).
_LABEL = re.compile(r"[a-z0-9-]+")
_PARENT = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)+")


def line(fields: dict[str, Any]) -> str:
    """The JSON of a record, without the newline."""
    return _encode(fields)


def record(seen: Sighting) -> dict[str, Any]:
    """The fields of a sighting, ready for JSON. Never raises."""
    fields = _NOTHING | {
        "host": seen.endpoint.host,
        "port": seen.endpoint.port,
        "address": seen.address or None,
        "attempts": seen.attempts,
        "seconds": round(seen.seconds, 3),
        "tls": seen.tls or None,
        "chain_verified": None if seen.error else seen.verified is not None,
        "refusal": seen.refusal or None,
        "error": _problem(seen.error) if seen.error else None,
        "verified": _pins(seen.verified) if seen.verified else None,
    }
    return fields | _served(seen.served, seen.endpoint.name) if seen.served else fields


def record_of_junk(text: str, error: HostError) -> dict[str, Any]:
    """The same fields for a line of the list that names no host: the line itself, and port 0."""
    nobody = {"host": text, "port": 0, "attempts": 0, "seconds": 0.0}
    return _NOTHING | nobody | {"error": _problem(error)}


def name_matches(host: str, leaf: Certificate) -> bool:
    """Whether a certificate is for a normalised host, as OpenSSL decides it (RFC 9525).

    subjectAltName alone: a certificate with nothing but a common name is for no host.
    Raises ``CertificateParseError`` where the subjectAltName makes no sense.
    """
    if is_address(host):
        return host in leaf.addresses
    names = _lower_case_names(leaf)
    label, _, parent = host.partition(".")
    wild = bool(_LABEL.fullmatch(label) and _PARENT.fullmatch(parent))
    return host in names or (wild and f"*.{parent}" in names)


def _problem(error: ProbeError | HostError | CertificateParseError) -> dict[str, str]:
    return {"kind": type(error).__name__, "problem": error.problem}


def _served(chain: Chain, name: str) -> dict[str, Any]:
    fields: dict[str, Any] = {"served": _pins(chain)}
    try:
        fields |= _described(chain.leaf)
        fields["name_matches"] = name_matches(name, chain.leaf)
    except CertificateParseError as unreadable:
        fields["error"] = _problem(unreadable)
    return fields


@lru_cache(maxsize=1024)
def _described(leaf: Certificate) -> dict[str, Any]:
    return {
        "subject": leaf.subject,
        "issuer": leaf.issuer,
        "not_after": leaf.not_after.isoformat(),
        "key": leaf.key,
        "certificate_pin": str(Pin("cert-sha256", leaf.sha256)),
    }


@lru_cache(maxsize=256)
def _pins(chain: Chain) -> list[str]:
    return [str(Pin.of_key(each.spki_sha256)) for each in chain.certificates]


@lru_cache(maxsize=1024)
def _lower_case_names(leaf: Certificate) -> frozenset[str]:
    return frozenset(map(str.lower, leaf.dns_names))
