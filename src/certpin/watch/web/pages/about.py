"""What is watched, by which settings, and with what. Secrets show themselves to nobody."""

from __future__ import annotations

import dataclasses
import platform
import sqlite3
import ssl
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING

from certpin._version import __version__
from certpin.rotation import format_duration
from certpin.watch.secret import Secret
from certpin.watch.web.pages import unknowns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.responses import Response

    from certpin.watch.web.pages.asking import Asked

_PARTS = ("access", "alerts", "collector", "monitor", "retention", "telemetry")
_MOST = 300  # characters of a value


def about(asked: Asked) -> Response:
    """The page."""
    settings = asked.watch.settings
    with asked.connection() as connection:
        fresh = asked.freshness(connection)
    return asked.page(
        "about.html",
        fresh=fresh,
        sets=asked.glance.sets,
        unknowns=unknowns.of_the_watch(fresh, asked.now, asked.condition),
        general=list(_general(asked)),
        parts_of=[(name, list(_shown(getattr(settings, name)))) for name in _PARTS],
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


def _shown(table: object) -> Iterator[tuple[str, str]]:
    """A part's own table. What is or has a secret in it is left out, and said to be."""
    if not dataclasses.is_dataclass(table):
        return
    for each in dataclasses.fields(table):
        yield each.name.replace("_", " "), _text(getattr(table, each.name))[:_MOST]


def _text(value: object) -> str:
    """A value that is no secret; of what has parts of its own, the name alone."""
    if value in (None, (), "", {}):
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
