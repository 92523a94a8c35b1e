"""The page ``/about``: versions, the age of the data, and the settings without secrets."""

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
from certpin_watch.html import number
from certpin_watch.secret import Secret
from certpin_watch.settings.reader import setting_key
from certpin_watch.web import unknowns

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from starlette.responses import Response

    from certpin_watch.settings import ServiceSettings
    from certpin_watch.store import Store
    from certpin_watch.web.request import PageRequest


_TABLES = ("access", "alerts", "collector", "log", "monitor", "retention", "telemetry")
_MAX_VALUE = 300  # characters of a value

# The unit of each number in the settings. A test fails if one is missing here.
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
        "rate": "reports/s",
        "burst": "report",
        "most_sources": "source",
        "queue": "body",
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


def about_page(page: PageRequest) -> Response:
    """Return the page ``/about``: versions, the age of the data, and settings without secrets."""
    settings = page.watch.settings
    with page.connection() as connection:
        fresh = page.freshness(connection)
    return page.render(
        "about.html",
        fresh=fresh,
        sets=page.snapshot.sets,
        unknowns=unknowns.of_service(fresh, page.now, page.health),
        general=list(_general(page.watch.settings)),
        tables=[
            (name, list(setting_rows(getattr(settings, name), UNITS.get(name, {}))))
            for name in _TABLES
        ],
        versions=[
            ("certpin", __version__),
            ("Python", platform.python_version()),
            ("OpenSSL", ssl.OPENSSL_VERSION),
            ("Database", _database(page.watch.store)),
        ],
    )


def _general(settings: ServiceSettings) -> Iterator[tuple[str, str]]:
    host, port = settings.listen
    yield "Listens on", f"{host}, port {port}"
    yield "Public address", settings.public_url or "not set"
    yield "TLS", "with its own certificate" if settings.tls else "no, plain HTTP"
    yield "Report intake", "NATS JetStream" if settings.nats else "directly into the store"


def _database(store: Store) -> str:
    if store.is_sqlite:
        return f"SQLite {sqlite3.sqlite_version}"
    return "PostgreSQL"


def setting_rows(table: object, units: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the settings in a table of ``watch.toml`` as pairs of name and value, both as text.

    The text of a secret is not shown.

    Args:
        table: the settings of the table, as a dataclass.
        units: the unit of each setting that is a number, by the name of its field.
    """
    if not dataclasses.is_dataclass(table):
        return
    for field in dataclasses.fields(table):
        value, unit = getattr(table, field.name), units.get(field.name, "")
        yield setting_key(field), (_with_unit(value, unit) if unit else _text(value))[:_MAX_VALUE]


def _with_unit(value: float, unit: str) -> str:
    if unit == "byte":
        for size, name in _BYTES:
            if value >= size:
                return f"{value / size:g} {name}"
    if unit == "of all requests":
        return f"{100 * value:g} % {unit}"
    if unit in {"%", "times the usual"} or "/" in unit:
        return f"{value:g} {unit}"
    return number(int(value), unit, "bodies" if unit == "body" else "")


def _text(value: object) -> str:
    """Return the value of a setting as text for the page ``/about``.

    An empty value is "none", a boolean "yes" or "no", and a secret is not shown. A value can also
    be a settings table with a name: then return this name.
    """
    if value is None or (isinstance(value, (str, tuple, frozenset, dict)) and not value):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (tuple, list, frozenset, set)):
        return ", ".join(_text(item) for item in value)
    return _scalar_text(value)


def _scalar_text(value: object) -> str:
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, (str, int, float, IPv4Network, IPv6Network)):
        return str(value)
    if isinstance(value, Secret):
        return "set, not shown"
    name = getattr(value, "name", "")
    return name if isinstance(name, str) and name else "set"
