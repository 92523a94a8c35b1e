"""The page ``/about``: versions, freshness of the data, and the settings without secrets."""

from __future__ import annotations

import dataclasses
import platform
import sqlite3
import ssl
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING

from certpin.rotation import format_duration
from certpin_watch._version import __version__
from certpin_watch.html.words import number
from certpin_watch.secret import Secret
from certpin_watch.web import unknowns

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from starlette.responses import Response

    from certpin_watch.web.request import Asked


_PARTS = ("access", "alerts", "collector", "log", "monitor", "retention", "telemetry")
_MOST = 300  # characters of a value

# The unit of each number of the settings. A test finds every number that this table lacks.
UNITS: dict[str, dict[str, str]] = {
    "access": {"idle_minutes": "minute", "session_hours": "hour"},
    "alerts": {
        "digest": "message",
        "few": "report",
        "networks": "network",
        "surge": "times the usual",
        "disk": "%",
    },
    "collector": {
        "most_bytes": "byte",
        "most_depth": "level",
        "most_reports": "report",
        "body_seconds": "second",
        "rate": "requests/s",
        "burst": "request",
        "most_sources": "source",
        "queue": "report",
        "queue_bytes": "byte",
        "ipv4_prefix": "bit",
        "ipv6_prefix": "bit",
        "samples": "report",
        "most_samples": "report",
        "most_sample_bytes": "byte",
        "budget": "byte",
        "groups_per_hour": "group",
        "groups_per_day": "group",
        "chains_per_hour": "chain",
        "presences_per_day": "row",
        "most_identities": "report",
        "client_days": "day",
        "at_once": "request",
        "stream_bytes": "byte",
        "stream_replicas": "replica",
    },
    "monitor": {"window": "probe", "silent_after": "interval"},
    "retention": dict.fromkeys(
        ("groups", "samples", "identities", "presences", "sightings", "alerts", "audit"), "day"
    ),
    "telemetry": {"sampling": "of all requests"},
}
_BYTES = ((1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB"))


def about(asked: Asked) -> Response:
    """The page."""
    settings = asked.watch.settings
    with asked.connection() as connection:
        fresh = asked.freshness(connection)
    return asked.page(
        "about.html",
        fresh=fresh,
        sets=asked.snapshot.sets,
        unknowns=unknowns.of_the_watch(fresh, asked.now, asked.health),
        general=list(_general(asked)),
        parts_of=[
            (name, list(_shown(getattr(settings, name), UNITS.get(name, {})))) for name in _PARTS
        ],
        versions=[
            ("certpin", __version__),
            ("Python", platform.python_version()),
            ("OpenSSL", ssl.OPENSSL_VERSION),
            ("Database", _database(asked)),
        ],
    )


def _general(asked: Asked) -> Iterator[tuple[str, str]]:
    settings = asked.watch.settings
    host, port = settings.listen
    yield "Listens on", f"{host}, port {port}"
    yield "Reached as", settings.public_url or "not said"
    yield "TLS", "its own certificate" if settings.tls else "none of its own"
    yield "Intake", "NATS JetStream" if settings.nats else "the store itself"


def _database(asked: Asked) -> str:
    if asked.watch.store.is_sqlite:
        return f"SQLite {sqlite3.sqlite_version}"
    return "PostgreSQL"


def _shown(table: object, units: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """A part's own table, as ``watch.toml`` names each setting. Secrets are not shown."""
    if not dataclasses.is_dataclass(table):
        return
    for each in dataclasses.fields(table):
        value, unit = getattr(table, each.name), units.get(each.name, "")
        yield each.name, (_counted(value, unit) if unit else _text(value))[:_MOST]


def _counted(value: float, unit: str) -> str:
    """A number with its unit."""
    if unit == "byte":
        for size, name in _BYTES:
            if value >= size:
                return f"{value / size:g} {name}"
    if unit == "of all requests":
        return f"{100 * value:g} % {unit}"
    if unit in {"%", "times the usual"} or "/" in unit:
        return f"{value:g} {unit}"
    return number(int(value), unit)


def _text(value: object) -> str:
    """A value that is no secret; of what has parts of its own, the name alone."""
    if value is None or (isinstance(value, (str, tuple, frozenset, dict)) and not value):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (tuple, list, frozenset, set)):
        return ", ".join(_text(each) for each in value)
    return _plain(value)


def _plain(value: object) -> str:
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, (str, int, float, IPv4Network, IPv6Network)):
        return str(value)
    if isinstance(value, Secret):
        return "set, and not shown"
    name = getattr(value, "name", "")
    return name if isinstance(name, str) and name else "set"
