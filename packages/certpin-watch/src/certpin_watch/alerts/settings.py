"""The table ``[alerts]`` of ``watch.toml``."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from certpin.errors import ConfigError, InputError
from certpin.rotation.adoption import parse_duration
from certpin_watch.secret import read_secret
from certpin_watch.store.alerts import SEVERITIES

if TYPE_CHECKING:
    from certpin.pinfile.fields import Table
    from certpin_watch.secret import Secret
    from certpin_watch.store.alerts import Severity

_SERVICE_KEYS = ("hosts", "name", "resolved", "rules", "severity", "url")
_MAX_SERVICES = 50
_MAX_NAME = 60  # characters


@dataclass(frozen=True)
class NotificationSettings:
    """A notification service, and the alerts that it is notified of: ``[[alerts.tell]]``.

    Attributes:
        name: the name in messages, logs and pages.
        url: its address, in the notation of apprise or for Alertmanager.
        severity: the lowest severity that is sent.
        hosts: the hosts and patterns of alerts that are sent; all if empty.
        rules: the rules of alerts that are sent; all if empty.
        resolved: whether a message is sent when an alert resolves.
    """

    name: str
    url: Secret
    severity: Severity = "warning"
    hosts: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    resolved: bool = True


@dataclass(frozen=True)
class AlertSettings:
    """The table; every setting has a default.

    Attributes:
        every: the time between two evaluations.
        hold: how long a problem must be gone before its alert resolves.
        repeat: the time between repeated messages about an open alert.
        silence: the longest possible silence.
        maintenance: how long a step of a rotation explains a change.
        deadline: how long a service may take to accept a message.
        give_up: the age at which an undelivered message is given up.
        silent: how long reports may be absent.
        digest: if more messages than this are due at once, they are combined into one.
        few: reports below this number are ignored by the rules over reports.
        networks: the number of networks of different providers that an unconfirmed claim needs to
            be critical.
        surge: the multiple of the usual number of failures that is a surge.
        disk: the smallest free share of the disk, in per cent.
        tell: the notification services.
    """

    every: timedelta = timedelta(seconds=15)
    hold: timedelta = timedelta(minutes=10)
    repeat: timedelta = timedelta(hours=6)
    silence: timedelta = timedelta(days=7)
    maintenance: timedelta = timedelta(hours=2)
    deadline: timedelta = timedelta(seconds=20)
    give_up: timedelta = timedelta(days=2)
    silent: timedelta = timedelta(hours=6)
    digest: int = 5
    few: int = 5
    networks: int = 10
    surge: int = 4
    disk: int = 5
    tell: tuple[NotificationSettings, ...] = field(default=())


_DURATIONS = tuple(
    setting.name for setting in fields(AlertSettings) if isinstance(setting.default, timedelta)
)
_NUMBERS = {
    "digest": (1, 1000),
    "few": (1, 1_000_000),
    "networks": (1, 60_000),
    "surge": (2, 1000),
    "disk": (0, 99),
}
_MIN_DURATIONS = {"every": timedelta(seconds=1), "deadline": timedelta(seconds=1)}
_MAX_DURATIONS = {"every": timedelta(hours=1), "deadline": timedelta(minutes=5)}

KNOWN: tuple[str, ...] = (*_DURATIONS, *_NUMBERS, "tell")


def read(table: Table) -> AlertSettings:
    """Read the table.

    Raises:
        ConfigError: a setting is invalid.

    """
    found: dict[str, Any] = {
        name: _duration(table, name) for name in _DURATIONS if name in table.data
    }
    found |= {name: _number(table, name) for name in _NUMBERS if name in table.data}
    services = tuple(_service(entry, at) for at, entry in enumerate(table.tables("tell"), 1))
    names = [service.name for service in services]
    if duplicates := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(
            f"two services are called {duplicates[0]}",
            key=table.under("tell"),
            fix="give each its own name",
        )
    if len(services) > _MAX_SERVICES:
        raise ConfigError(f"there are more than {_MAX_SERVICES} services", key=table.under("tell"))
    return AlertSettings(**found, tell=services)


def _duration(table: Table, name: str) -> timedelta:
    try:
        value = parse_duration(table.text(name))
    except InputError as exc:
        raise ConfigError(exc.problem, key=table.under(name), fix=exc.fix) from exc
    low = _MIN_DURATIONS.get(name, timedelta(0))
    high = _MAX_DURATIONS.get(name, timedelta(days=3650))
    if not low <= value <= high:
        raise ConfigError(
            "the duration is out of range", key=table.under(name), fix=f"{low} to {high}"
        )
    return value


def _number(table: Table, name: str) -> int:
    low, high = _NUMBERS[name]
    if not low <= (value := table.integer(name)) <= high:
        raise ConfigError(f"{value} is out of range", key=table.under(name), fix=f"{low} to {high}")
    return value


def _service(table: Table, at: int) -> NotificationSettings:
    if unknown := sorted(table.data.keys() - set(_SERVICE_KEYS)):
        raise ConfigError(
            "this setting is unknown",
            key=table.under(unknown[0]),
            fix=f"known are {', '.join(_SERVICE_KEYS)}",
        )
    # The default name is its place: the address contains secrets.
    name = table.text("name", f"service-{at}")
    if not name.isprintable() or not 0 < len(name) <= _MAX_NAME:
        raise ConfigError(
            "the name is empty, too long, or cannot be printed",
            key=table.under("name"),
            fix=f"at most {_MAX_NAME} characters",
        )
    return NotificationSettings(
        name=name,
        url=read_secret(table, "url"),
        severity=table.choice("severity", SEVERITIES, "warning"),
        hosts=table.texts("hosts"),
        rules=_rules(table),
        resolved=table.flag("resolved", default=True),
    )


def _rules(table: Table) -> tuple[str, ...]:
    """Read the names of rules. A misspelt rule would match no alert, so it is refused."""
    from certpin_watch.rules.engine import check_rule  # its rules read other settings

    for rule in (named := table.texts("rules")):
        try:
            check_rule(rule)
        except InputError as exc:
            raise ConfigError(exc.problem, key=table.under("rules"), fix=exc.fix) from exc
    return named
