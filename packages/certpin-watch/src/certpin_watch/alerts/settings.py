"""The table ``[alerts]`` of ``watch.toml``."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from certpin.errors import ConfigError, InputError
from certpin.rotation.adoption import parse_duration
from certpin_watch.finding import SEVERITIES
from certpin_watch.secret import read_secret

if TYPE_CHECKING:
    from certpin.pinfile.fields import Table
    from certpin_watch.finding import Severity
    from certpin_watch.secret import Secret

_TELL = ("hosts", "name", "resolved", "rules", "severity", "url")
_MOST_SERVICES = 50
_LONGEST_NAME = 60


@dataclass(frozen=True)
class Tell:
    """A service that is told, as apprise knows it, and of what.

    ``severity`` is the least that it is told of. ``hosts`` and ``rules`` are empty for all.
    ``resolved``: whether it is told when something is over.
    """

    name: str
    url: Secret
    severity: Severity = "warning"
    hosts: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    resolved: bool = True


@dataclass(frozen=True)
class Settings:
    """What stands in the table; each has a default.

    ``every`` is how often it is looked. Something is resolved when it was gone for ``hold``, and
    told again after each ``repeat``. ``silence`` is how long anybody may keep something quiet, and
    ``maintenance`` how long a step of a rotation explains what is seen. More than ``digest``
    messages at once become one. ``deadline`` is how long a service may take for a message;
    after ``give_up`` it is not tried any more.

    The others are those of the rules over reports. ``few`` reports are no reason for anything.
    From fewer than ``networks`` of different providers nothing that is only told is critical.
    A surge is ``surge`` times what is usual. ``silent`` is how long nothing may come where reports
    came before. ``disk`` is the least free share of a disk, in per cent.
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
    tell: tuple[Tell, ...] = field(default=())


_DURATIONS = tuple(each.name for each in fields(Settings) if isinstance(each.default, timedelta))
_NUMBERS = {
    "digest": (1, 1000),
    "few": (1, 1_000_000),
    "networks": (1, 60_000),
    "surge": (2, 1000),
    "disk": (0, 99),
}
_LEAST = {"every": timedelta(seconds=1), "deadline": timedelta(seconds=1)}
_MOST = {"every": timedelta(hours=1), "deadline": timedelta(minutes=5)}

KNOWN: tuple[str, ...] = (*_DURATIONS, *_NUMBERS, "tell")


def read(table: Table) -> Settings:
    """Read the table. Raises ``ConfigError``."""
    found: dict[str, Any] = {
        name: _duration(table, name) for name in _DURATIONS if name in table.data
    }
    found |= {name: _number(table, name) for name in _NUMBERS if name in table.data}
    tell = tuple(_tell(each, at) for at, each in enumerate(table.tables("tell"), 1))
    names = [each.name for each in tell]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(
            f"two are called {twice[0]}", key=table.under("tell"), fix="give each its own name"
        )
    if len(tell) > _MOST_SERVICES:
        raise ConfigError(f"there are more than {_MOST_SERVICES}", key=table.under("tell"))
    return Settings(**found, tell=tell)


def _duration(table: Table, name: str) -> timedelta:
    try:
        value = parse_duration(table.text(name))
    except InputError as exc:
        raise ConfigError(exc.problem, key=table.under(name), fix=exc.fix) from exc
    least, most = _LEAST.get(name, timedelta(0)), _MOST.get(name, timedelta(days=3650))
    if not least <= value <= most:
        raise ConfigError("nobody could work so", key=table.under(name), fix=f"{least} to {most}")
    return value


def _number(table: Table, name: str) -> int:
    least, most = _NUMBERS[name]
    if not least <= (value := table.integer(name)) <= most:
        raise ConfigError(
            f"{value} is not right", key=table.under(name), fix=f"it is {least} to {most}"
        )
    return value


def _tell(table: Table, at: int) -> Tell:
    if unknown := sorted(table.data.keys() - set(_TELL)):
        raise ConfigError(
            "this is not known here",
            key=table.under(unknown[0]),
            fix=f"known are {', '.join(_TELL)}",
        )
    # Without a name it is called by its place: the address has secrets in it.
    name = table.text("name", f"service-{at}")
    if not name.isprintable() or not 0 < len(name) <= _LONGEST_NAME:
        raise ConfigError(
            "this is no name", key=table.under("name"), fix=f"at most {_LONGEST_NAME} characters"
        )
    return Tell(
        name=name,
        url=read_secret(table, "url"),
        severity=table.choice("severity", SEVERITIES, "warning"),
        hosts=table.texts("hosts"),
        rules=_rules(table),
        resolved=table.flag("resolved", default=True),
    )


def _rules(table: Table) -> tuple[str, ...]:
    """A rule that is misspelt would be told to nobody. Raises ``ConfigError``."""
    from certpin_watch.alerts.known import check_rule  # its rules read these settings

    for rule in (named := table.texts("rules")):
        try:
            check_rule(rule)
        except InputError as exc:
            raise ConfigError(exc.problem, key=table.under("rules"), fix=exc.fix) from exc
    return named
