"""Conditions that suppress messages about alerts: silences, maintenance windows, acknowledgements.

A maintenance window is a period in which a change of a server's key is expected, because a rotation
(the change to another key) is under way. The journal beside a pin file records the steps of the
rotation. Two of these steps open a window:

- ``activate`` (a server starts to use a key), for the host and pin of this key.
- ``publish``, for the host and pin of each key that has the state ACTIVE (a server uses it) in the
  published version.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from certpin.errors import HostError, InputError
from certpin.pins import HostPattern, Pin
from certpin.pins.hosts import normalise
from certpin.support.text import format_duration, printable
from certpin_watch.rules.engine import check_rule
from certpin_watch.store.alerts import insert_silence, record_event, set_acknowledged

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import timedelta

    from sqlalchemy import Connection

    from certpin.rotation import Event
    from certpin_watch.rules.rule import AlertFinding
    from certpin_watch.settings import AlertSettings
    from certpin_watch.snapshot import MonitoredPinSet, Snapshot
    from certpin_watch.store.alerts import AlertRow, SilenceRow, Suppression

    Problem = AlertFinding | AlertRow

# A rotation explains the findings of these rules. A mismatch is never among them, because an
# intended change of keys is no reason for clients to refuse a server.
EXPLAINED = frozenset({"key-changed", "issuer-changed", "vantages-disagree"})

_MAX_TEXT = 500  # characters of each text that users write and pages show
_MAX_HOST = 80  # characters of an unknown host in a warning
_MAX_CANDIDATES = 1000  # patterns among which the most similar is searched: that is slow


@dataclass(frozen=True)
class MaintenanceWindow:
    """A period after a step of a rotation, in which servers are expected to change to a new key.

    Attributes:
        pin_set: the name of the pin set.
        host: the host pattern.
        pin: the pin of the key that the servers start to use.
        since: the begin, in Unix seconds.
        until: the end, in Unix seconds.
        why: the name of the step and the user who recorded it, as text.
    """

    pin_set: str
    host: str
    pin: str
    since: int
    until: int
    why: str


@dataclass(frozen=True)
class Silencing:
    """The silences and maintenance windows that one evaluation of the alert rules considers.

    ``silences`` are those in force at the time of the evaluation, and ``windows`` those that are
    open.
    """

    silences: tuple[SilenceRow, ...] = ()
    windows: tuple[MaintenanceWindow, ...] = ()


def suppression_of(
    problem: Problem, silencing: Silencing, now: int, settings: AlertSettings
) -> Suppression:
    """Return the condition that suppresses messages about a problem, if there is one.

    ``problem`` is a finding of a rule, or a stored alert. ``silencing`` has the silences and the
    open maintenance windows. ``now`` is the time in Unix seconds. ``settings`` has the longest
    permitted duration of a silence: a silence that ends later than ``now`` plus this duration has
    no effect.

    Returns:
        "silenced" if a silence matches, "maintenance" if a maintenance window matches, or an empty
        text if messages are sent.
    """
    if any(_is_silenced_by(silence, problem, now, settings) for silence in silencing.silences):
        return "silenced"
    if any(_is_explained_by(window, problem, now) for window in silencing.windows):
        return "maintenance"
    return ""


def describe_suppression(
    problem: Problem, silencing: Silencing, now: int, settings: AlertSettings
) -> tuple[str, str]:
    """Return the user and the reason if messages about a problem are suppressed.

    ``problem`` is a finding of a rule, or a stored alert. ``silencing`` has the silences and the
    open maintenance windows. ``now`` is the time in Unix seconds. ``settings`` has the longest
    permitted duration of a silence: a silence that ends later than ``now`` plus this duration has
    no effect.

    Returns:
        A pair of user and reason. For a silence: the user who created it, and the reason that this
        user gave. For a maintenance window: an empty user, and a text that names the step of the
        rotation and the user who recorded this step. Two empty texts if messages are not
        suppressed.
    """
    for silence in silencing.silences:
        if _is_silenced_by(silence, problem, now, settings):
            return silence.who, silence.why
    for window in silencing.windows:
        if _is_explained_by(window, problem, now):
            return "", window.why
    return "", ""


def _is_silenced_by(
    silence: SilenceRow, problem: Problem, now: int, settings: AlertSettings
) -> bool:
    return (
        silence.is_in_force(now, settings.silence)
        and bool(silence.rule or silence.host)
        and silence.rule in {"", problem.rule}
        and silence.host in {"", problem.host}
    )


def _is_explained_by(window: MaintenanceWindow, problem: Problem, now: int) -> bool:
    """Return True if a maintenance window suppresses messages about a problem.

    A window is a period in which a change of a server's key is expected. It has to be open, and the
    problem's rule has to be in ``EXPLAINED`` (the rules about changed keys). The window and the
    problem must have the same pin set and host, and servers must present the key that the window
    names. A critical problem is never suppressed, because clients then refuse the server.
    """
    pins = served_pins(problem.details)
    return (
        problem.rule in EXPLAINED
        and problem.severity != "critical"
        and window.since <= now < window.until
        and (window.pin_set, window.host) == (problem.pin_set, problem.host)
        and bool(pins)
        and window.pin in pins
    )


def served_pins(details: dict[str, Any]) -> frozenset[str]:
    """Return the pins of the chains that servers present now, from the details of an alert.

    They are the pins of the keys, and those of the whole certificates. They are in three members,
    all of which may be missing. ``after`` is a pin, or a list of certificates, each with its pin
    and its digest. ``keys`` and ``certificates`` map each location (a machine that probes hosts) to
    the pins that it received.
    """
    after = details.get("after")
    found: list[Any] = [after]
    for entry in after if isinstance(after, list) else ():
        if isinstance(entry, dict):
            found += [entry.get("pin"), _certificate_pin(entry.get("sha256"))]
    for by_location in (details.get("keys"), details.get("certificates")):
        if isinstance(by_location, dict):
            found += [
                pin for pins in by_location.values() if isinstance(pins, list) for pin in pins
            ]
    return frozenset(pin for pin in found if isinstance(pin, str) and pin)


def _certificate_pin(digest: Any) -> str:
    """Return the pin of a whole certificate; empty if ``digest`` is no SHA-256 in hexadecimal."""
    with suppress(TypeError, ValueError, InputError):
        return str(Pin("cert-sha256", bytes.fromhex(digest)))
    return ""


def maintenance_windows(
    sets: Iterable[MonitoredPinSet], now: int, length: timedelta
) -> tuple[MaintenanceWindow, ...]:
    """Return the maintenance windows that are open at ``now``, and suppress messages.

    A window is a period in which a change of a server's key is expected. Two kinds of steps in a
    pin set's journal (the log of its rotation) begin a window: ``activate`` (a server starts to use
    a key) and ``publish`` (a version is published). The module's docstring has the details.

    Args:
        sets: the pin sets, with their journals.
        now: the Unix time.
        length: the duration of each window.
    """
    seconds = int(length.total_seconds())
    return tuple(
        window
        for monitored in sets
        for event in monitored.history.events
        if int(event.time.timestamp()) <= now < int(event.time.timestamp()) + seconds
        for window in _windows_of(monitored.pins.name, event, seconds)
    )


def _windows_of(pin_set: str, event: Event, seconds: int) -> Iterator[MaintenanceWindow]:
    since = int(event.time.timestamp())
    why = f"{event.step} by {event.who}"
    if event.step == "activate" and event.pin:
        yield MaintenanceWindow(pin_set, event.host, str(event.pin), since, since + seconds, why)
    if event.step != "publish" or event.pins is None:
        return
    for policy in event.pins.policies:
        for entry in policy.pins:
            if entry.state == "active":
                pattern, pin = str(policy.pattern), str(entry.pin)
                yield MaintenanceWindow(pin_set, pattern, pin, since, since + seconds, why)


def add_silence(
    connection: Connection,
    wanted: SilenceRow,
    settings: AlertSettings,
    *,
    at_most: timedelta | None = None,
) -> SilenceRow:
    """Check a silence, and store it.

    It is not checked that a monitored host has the silence's host name, because a policy for the
    host can be added later; ``host_warning`` returns a warning for this case.

    Args:
        connection: a write transaction.
        wanted: the silence, without its row number.
        settings: the table ``[alerts]``. Its setting ``silence`` is the longest duration.
        at_most: a second limit for the duration; None for no second limit. The shorter limit
            counts.

    Returns:
        The silence with its row number.

    Raises:
        InputError: the silence covers every alert, names an unknown rule, is too long, ends before
            it begins, or lacks a user or a reason; or a text in it is too long or unprintable.
    """
    _check_silence(wanted, min(settings.silence, at_most or settings.silence))
    return replace(wanted, id=insert_silence(connection, wanted))


def _check_silence(wanted: SilenceRow, longest: timedelta) -> None:
    length = wanted.until - wanted.since
    if not wanted.rule and not wanted.host:
        raise InputError("this would silence every alert", fix="name a rule, a host, or both")
    if wanted.rule:
        check_rule(wanted.rule)
    if length <= 0:
        raise InputError("the silence ends before it begins")
    if length > longest.total_seconds():
        raise InputError("the silence is too long", fix=f"at most {format_duration(longest)}")
    if not wanted.who.strip() or not wanted.why.strip():
        raise InputError("a silence needs a user and a reason", fix="say who you are, and why")
    for name in ("rule", "host", "who", "why"):
        text = getattr(wanted, name)
        if len(text) > _MAX_TEXT or not text.isprintable():
            raise InputError(
                f"{name} is too long, or cannot be printed", fix=f"at most {_MAX_TEXT} characters"
            )


def acknowledge(connection: Connection, number: int, who: str, now: int, note: str = "") -> bool:
    """Acknowledge an open alert, so that messages about it are not repeated.

    Args:
        connection: a write transaction.
        number: the number of the alert.
        who: the user.
        now: the Unix time.
        note: a text for other users.

    Returns:
        True if the alert is now acknowledged; False if it is not open, or was already acknowledged.

    Raises:
        InputError: the note is too long, or cannot be printed.
    """
    if len(note) > _MAX_TEXT or not note.isprintable():
        raise InputError(
            "the note is too long, or cannot be printed", fix=f"at most {_MAX_TEXT} characters"
        )
    if not set_acknowledged(connection, number, who, now):
        return False
    record_event(connection, number, now, "acknowledged", who, note)
    return True


def unacknowledge(connection: Connection, number: int, who: str, now: int) -> bool:
    """Withdraw the acknowledgement of an alert, so that messages about it are repeated again.

    ``number`` is the number of the alert, ``who`` the user. Return True if that was done; False if
    the alert is not open, or not acknowledged.
    """
    if not set_acknowledged(connection, number, who, None):
        return False
    record_event(connection, number, now, "unacknowledged", who)
    return True


def host_warning(host: str, snapshot: Snapshot) -> str:
    """Return the reason why a silence for this host possibly matches no alert, or an empty text.

    There are two reasons. If no monitored pin set covers the host, no alert is about it. If only a
    wildcard covers it, alerts about probes name the wildcard, and only alerts about reports of
    clients name the host. The result is empty if a pin set names the host itself, or if there are
    no pin sets. ``snapshot`` has the monitored pin sets.
    """
    patterns = _monitored_patterns(snapshot)
    if not patterns or host in map(str, patterns):
        return ""
    shown = printable(host[:_MAX_HOST])
    if covering := sorted(str(pattern) for pattern in patterns if _matches(pattern, host)):
        return (
            f"alerts of the monitor name the pattern {covering[0]}: only alerts based on reports "
            f"name {shown}"
        )
    near = get_close_matches(host[:_MAX_HOST], sorted(map(str, patterns))[:_MAX_CANDIDATES], n=1)
    hint = f": did you mean {near[0]}?" if near else ""
    return f"no monitored pin file has {shown}{hint}"


def unmatched_hosts(named: Iterable[tuple[str, str]], snapshot: Snapshot) -> Iterator[str]:
    """Yield a warning for each host or pattern in the settings that matches nothing monitored.

    Args:
        named: pairs of the name of a setting, which the warning contains, and the host or pattern
            in this setting.
        snapshot: the monitored pin sets. Without pin sets, there are no warnings.
    """
    patterns = _monitored_patterns(snapshot)
    for setting, host in named if patterns else ():
        if not any(_matches(entry, host) or matches_host(host, str(entry)) for entry in patterns):
            yield f"{setting}: {host_warning(host, snapshot)}"


def matches_host(pattern: str, host: str) -> bool:
    """Return True if a pattern, such as ``*.bank.example``, matches a host.

    If both texts are equal, return True, too: ``host`` can also be a pattern. An invalid pattern
    matches only an equal text.
    """
    if pattern == host:
        return True
    try:
        return bool(host) and HostPattern.parse(pattern).matches(host)
    except HostError:
        return False


def _monitored_patterns(snapshot: Snapshot) -> frozenset[HostPattern]:
    """Return the host patterns of the pin files, and of all versions released to clients.

    ``snapshot`` has the pin files. A silence for a host that matches none of these patterns causes
    a warning.
    """
    return frozenset(
        policy.pattern
        for monitored in snapshot.sets
        for pins in (monitored.pins, *(version.pins for version in monitored.deployed.versions))
        for policy in pins.policies
    )


def _matches(pattern: HostPattern, host: str) -> bool:
    """Return True if a pattern matches a host.

    If ``host`` is no valid host name, such as a pattern, return False.
    """
    try:
        return pattern.matches(normalise(host))
    except HostError:
        return False
