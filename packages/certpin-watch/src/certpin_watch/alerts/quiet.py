"""What nobody is told of: silences that somebody asked for, and windows that a rotation opens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from certpin_watch.alerts.settings import Settings

Cover = Literal["", "silenced", "maintenance"]

# What a rotation explains. A mismatch and a lock-out are never among them: that a key was meant to
# change is no reason for clients to be refused.
EXPLAINED = frozenset({"key-changed", "issuer-changed", "vantages-disagree"})


class Quietable(Protocol):
    """A finding, or the alert that it became."""

    @property
    def rule(self) -> str: ...  # noqa: D102
    @property
    def severity(self) -> str: ...  # noqa: D102
    @property
    def host(self) -> str: ...  # noqa: D102
    @property
    def pin_set(self) -> str: ...  # noqa: D102
    @property
    def details(self) -> dict[str, Any]: ...  # noqa: D102


@dataclass(frozen=True)
class Silence:
    """Nobody is told of what matches until then. ``rule`` or ``host`` is empty for all of them."""

    rule: str
    host: str
    since: int
    until: int
    who: str
    why: str
    ended_at: int | None = None
    id: int | None = None


@dataclass(frozen=True)
class Window:
    """A step of a rotation: for a while, changes to this pin at this host are what was meant."""

    pin_set: str
    host: str
    pin: str
    since: int
    until: int
    why: str


@dataclass(frozen=True)
class Quiet:
    """All that keeps something quiet."""

    silences: tuple[Silence, ...] = ()
    windows: tuple[Window, ...] = ()


def cover(trouble: Quietable, quiet: Quiet, now: int, settings: Settings) -> Cover:
    """Why nobody is told of a trouble, or empty."""
    if any(silenced_by(each, trouble, now, settings) for each in quiet.silences):
        return "silenced"
    if any(explains(each, trouble, now) for each in quiet.windows):
        return "maintenance"
    return ""


def holds(silence: Silence, now: int, settings: Settings) -> bool:
    """Whether it is in force.

    One that would last longer than is allowed is none: it was written past ``silence``, or the
    clock has stepped back.
    """
    return silence.ended_at is None and now < silence.until <= last_end(now, settings)


def last_end(now: int, settings: Settings) -> int:
    """When a silence ends at the latest that is in force now."""
    return now + int(settings.silence.total_seconds())


def silenced_by(silence: Silence, trouble: Quietable, now: int, settings: Settings) -> bool:
    """Whether a silence covers a trouble."""
    return (
        holds(silence, now, settings)
        and bool(silence.rule or silence.host)
        and silence.rule in {"", trouble.rule}
        and silence.host in {"", trouble.host}
    )


def explains(window: Window, trouble: Quietable, now: int) -> bool:
    """Whether a step explains a trouble: its host and its pin alone, and nothing that locks out."""
    pins = pins_of(trouble.details)
    return (
        trouble.rule in EXPLAINED
        and trouble.severity != "critical"
        and window.since <= now < window.until
        and (window.pin_set, window.host) == (trouble.pin_set, trouble.host)
        and bool(pins)
        and window.pin in pins
    )


def pins_of(details: dict[str, Any]) -> frozenset[str]:
    """The pins of what is served now, as the monitor's findings tell them.

    ``after`` is a pin, or a chain whose certificates have one each; ``keys`` are those that each
    vantage sees.
    """
    after, keys = details.get("after"), details.get("keys")
    found: list[Any] = [after]
    if isinstance(after, list):
        found += [each.get("pin") for each in after if isinstance(each, dict)]
    if isinstance(keys, dict):
        found += [pin for each in keys.values() if isinstance(each, list) for pin in each]
    return frozenset(each for each in found if isinstance(each, str) and each)


def why_quiet(trouble: Quietable, quiet: Quiet, now: int, settings: Settings) -> tuple[str, str]:
    """Who keeps a trouble quiet, and why; both are empty where nobody does."""
    for silence in quiet.silences:
        if silenced_by(silence, trouble, now, settings):
            return silence.who, silence.why
    for window in quiet.windows:
        if explains(window, trouble, now):
            return "", window.why
    return "", ""
