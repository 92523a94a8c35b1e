"""The table ``[monitor]`` of ``watch.toml``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from certpin.errors import ConfigError, HostError, InputError
from certpin.pins import normalise
from certpin.probe import PROTOCOLS, default_port, split_address
from certpin.rotation import parse_duration
from certpin_watch.locations import check_location

if TYPE_CHECKING:
    from collections.abc import Callable

    from certpin.pinfile.fields import Table

Value = TypeVar("Value")

_DURATIONS = {  # with their minima
    "interval": timedelta(seconds=10),
    "confirm": timedelta(seconds=1),
    "timeout": timedelta(seconds=1),
    "certificate_warning": timedelta(0),
    "certificate_critical": timedelta(0),
    "pins_warning": timedelta(0),
    "pins_critical": timedelta(0),
    "changes": timedelta(0),
    "logged": timedelta(0),
}
_NUMBERS = {"silent_after": (1, 1000), "window": (1, 4096)}  # with their minima and maxima
KNOWN: tuple[str, ...] = (
    *("enabled", "every_address", "host", "vantage", "vantages"),
    *_DURATIONS,
    *_NUMBERS,
)
_KNOWN_OF_HOST = ("connect", "every_address", "name", "port", "starttls", "vantages")


@dataclass(frozen=True)
class HostSettings:
    """How a host is probed, if not as the pin file says.

    ``port`` is 0, ``connect`` None and ``starttls`` empty if the servers of the pin file have these
    values. ``connect`` is another address to connect to. ``locations`` are empty for those of the
    monitor.
    """

    name: str
    port: int = 0
    connect: tuple[str, int] | None = None
    starttls: str = ""
    locations: tuple[str, ...] = ()
    every_address: bool = False


@dataclass(frozen=True)
class MonitorSettings:
    """The values of the table.

    ``location`` is the name of this machine, empty if it doesn't probe. ``locations`` are those
    that probe every host. ``certificate_*`` and ``pins_*`` are how long before the expiry of
    certificates and pins an alert fires. ``changes`` is how long the alert for a change stays
    open, ``logged`` how long the one for a certificate in a log does.
    """

    enabled: bool = True
    location: str = "local"
    locations: tuple[str, ...] = ("local",)
    interval: timedelta = timedelta(minutes=15)
    confirm: timedelta = timedelta(minutes=1)
    timeout: timedelta = timedelta(seconds=10)
    window: int = 256
    every_address: bool = False
    silent_after: int = 4
    certificate_warning: timedelta = timedelta(days=30)
    certificate_critical: timedelta = timedelta(days=7)
    pins_warning: timedelta = timedelta(days=60)
    pins_critical: timedelta = timedelta(days=14)
    changes: timedelta = timedelta(days=7)
    logged: timedelta = timedelta(days=30)
    hosts: tuple[HostSettings, ...] = ()

    @property
    def named(self) -> frozenset[str]:
        """The names of the hosts in the settings."""
        return frozenset(host.name for host in self.hosts)


def read(table: Table) -> MonitorSettings:
    """Read the table.

    Raises:
        ConfigError: a value is invalid. The error names its key.
    """
    found: dict[str, Any] = {
        name: _duration(table, name) for name in _DURATIONS if name in table.data
    }
    found |= {name: _number(table, name) for name in _NUMBERS if name in table.data}
    location = table.text("vantage", "local")
    if location:
        check_location(location, table.under("vantage"))
    return MonitorSettings(
        **found,
        enabled=table.flag("enabled", default=True),
        every_address=table.flag("every_address", default=False),
        location=location,
        locations=_locations(table) or ((location,) if location else ()),
        hosts=tuple(map(_host, table.tables("host"))),
    )


def _host(table: Table) -> HostSettings:
    if unknown := sorted(table.data.keys() - set(_KNOWN_OF_HOST)):
        known = ", ".join(_KNOWN_OF_HOST)
        raise ConfigError(
            "there is no such setting", key=table.under(unknown[0]), fix=f"known are {known}"
        )
    starttls = table.text("starttls", "")
    if starttls and starttls not in PROTOCOLS:
        names = ", ".join(sorted(PROTOCOLS))
        raise ConfigError(
            f"{starttls[:80]!r} is not a STARTTLS protocol",
            key=table.under("starttls"),
            fix=f"one of {names}",
        )
    port = _port(table) if "port" in table.data else 0
    return HostSettings(
        name=_parse(table, "name", normalise),
        port=port,
        connect=_parse(
            table, "connect", partial(split_address, default_port=port or default_port(starttls))
        )
        if "connect" in table.data
        else None,
        starttls=starttls,
        locations=_locations(table),
        every_address=table.flag("every_address", default=False),
    )


def _parse(table: Table, name: str, parse: Callable[[str], Value]) -> Value:
    try:
        return parse(table.text(name))
    except HostError as exc:
        raise ConfigError(exc.problem, key=table.under(name), fix=exc.fix) from exc


def _port(table: Table) -> int:
    if not 0 < (port := table.integer("port")) < 65536:
        raise ConfigError(f"{port} is not a port", key=table.under("port"), fix="from 1 to 65535")
    return port


def _locations(table: Table) -> tuple[str, ...]:
    key = table.under("vantages")
    return tuple(check_location(name, key) for name in table.texts("vantages"))


def _duration(table: Table, name: str) -> timedelta:
    try:
        duration = parse_duration(table.text(name))
    except InputError as exc:
        raise ConfigError(exc.problem, key=table.under(name), fix=exc.fix) from exc
    if duration < _DURATIONS[name]:
        minimum = int(_DURATIONS[name].total_seconds())
        raise ConfigError("this is too short", key=table.under(name), fix=f"{minimum}s or more")
    return duration


def _number(table: Table, name: str) -> int:
    minimum, maximum = _NUMBERS[name]
    if not minimum <= (number := table.integer(name)) <= maximum:
        raise ConfigError(
            "this is out of range", key=table.under(name), fix=f"from {minimum} to {maximum}"
        )
    return number
