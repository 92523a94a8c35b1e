"""What becomes of an alert: pure, from what is open, what is seen now, what is quiet, and now.

            ┌──────────── repeated, escalated
            ▼                  │
    ──▶ opened ────────────────┴──▶ (gone for a while) ──▶ resolved
            │   ▲
            ▼   │ resumed
    silenced, maintenance

1. A trouble is open from when it is first seen. Somebody is told, unless it is quiet.
2. While it is open, it is told again after a while, and at once when it gets worse.
3. It is resolved when it was gone for the hold time, and longer where it came back before.
   Whoever was told that it is there is told that it is over, unless it is silenced.
4. What is quiet is recorded and not told. When the quiet ends, and it is still there, it is told.
5. What could not be looked at is neither there nor gone.
6. A clock that steps back makes nothing older than it is: no moment is later than now.
7. An alert that a person acknowledged is not repeated. If it gets worse it is told at once, and has
   to be acknowledged again.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from certpin_watch.alerts.quiet import cover
from certpin_watch.finding import SEVERITIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from certpin_watch.alerts.quiet import Cover, Quiet
    from certpin_watch.alerts.settings import Settings
    from certpin_watch.finding import Finding, Severity

# `recovering`: the problem is gone, and the alert is held open until `hold` is over.
State = Literal["open", "acknowledged", "silenced", "maintenance", "recovering", "resolved"]
What = Literal["opened", "repeated", "escalated", "resumed", "resolved", "silenced", "maintenance"]

SOON = 6 * 3600  # what comes back within these seconds after it was resolved, flaps
_MOST_FLAPS = 5  # each doubles the hold time: 32 times at most
_FRESH = 60  # seconds for which `last_at` may lag behind, so that not each look is a write


@dataclass(frozen=True)
class Alert:
    """One trouble from when it was first seen. As the table says; moments are seconds."""

    key: str
    rule: str
    severity: Severity
    host: str
    pin_set: str
    summary: str
    command: str
    opened_at: int
    last_at: int
    details: dict[str, Any] = field(default_factory=dict)
    clients: int | None = None
    gone_at: int | None = None
    resolved_at: int | None = None
    told_at: int | None = None
    told_clients: int | None = None
    peak: Severity = "info"
    quiet: Cover = ""
    flaps: int = 0
    repeats: int = 0
    acknowledged_at: int | None = None
    acknowledged_by: str = ""
    id: int | None = None

    @property
    def state(self) -> State:
        """Its state in one word, the same for pages, API, command line and services."""
        if self.resolved_at is not None:
            return "resolved"
        if self.gone_at is not None:
            return "recovering"
        return self.quiet or ("open" if self.acknowledged_at is None else "acknowledged")


@dataclass(frozen=True)
class Seen:
    """What is found now, and the rules that could not be looked at."""

    findings: tuple[Finding, ...] = ()
    blind: frozenset[str] = frozenset()
    clients: Mapping[str, int | None] = field(default_factory=dict)  # by the key of a finding


@dataclass(frozen=True)
class Transition:
    """What became of an alert, and whether somebody is to be told."""

    what: What
    told: bool


@dataclass(frozen=True)
class Change:
    """An alert as it is now, and what became of it. ``before`` is how it was, if it was."""

    alert: Alert
    transitions: tuple[Transition, ...] = ()
    before: Alert | None = None


@dataclass(frozen=True)
class _Moment:
    """What every decision of one look goes by."""

    quiet: Quiet
    now: int
    settings: Settings


def decide(
    known: Iterable[Alert], seen: Seen, quiet: Quiet, now: int, settings: Settings
) -> tuple[Change, ...]:
    """What changes. ``known`` are those that are open, and the last of each key that is over."""
    moment = _Moment(quiet, now, settings)
    written = {each.key: each for each in known}
    before = {key: _not_later(each, now) for key, each in written.items()}
    changes = [*_there(before, seen, moment), *_gone(before, seen, moment)]
    return tuple(each for each in changes if _matters(each, written.get(each.alert.key), now))


def worse(one: Severity, other: Severity) -> bool:
    """Whether one severity is worse than the other."""
    return SEVERITIES.index(one) < SEVERITIES.index(other)


def hold(alert: Alert, settings: Settings) -> int:
    """How many seconds it has to be gone before it is over."""
    doubled: int = 2 ** min(alert.flaps, _MOST_FLAPS)
    return int(settings.hold.total_seconds()) * doubled


def _not_later(alert: Alert, now: int) -> Alert:
    """Rule 6."""
    moments = {
        name: min(value, now)
        for name in (
            *("opened_at", "last_at", "gone_at", "resolved_at", "told_at", "acknowledged_at"),
        )
        if (value := getattr(alert, name)) is not None
    }
    return replace(alert, **moments)


def _there(before: Mapping[str, Alert], seen: Seen, moment: _Moment) -> Iterator[Change]:
    for finding in _once(seen.findings):
        clients = seen.clients.get(finding.key, finding.clients)
        known = before.get(finding.key)
        if known is None or known.resolved_at is not None:
            yield _opened(finding, clients, known, moment)
        else:
            yield _still(known, finding, clients, moment)


def _once(findings: Iterable[Finding]) -> Iterable[Finding]:
    """Of two that are the same trouble, the worse one."""
    found: dict[str, Finding] = {}
    for each in findings:
        if each.key not in found or worse(each.severity, found[each.key].severity):
            found[each.key] = each
    return found.values()


def _opened(finding: Finding, clients: int | None, last: Alert | None, moment: _Moment) -> Change:
    """Rule 1. ``last`` is the same trouble as it was before, and is over."""
    now = moment.now
    alert = replace(
        Alert(finding.key, finding.rule, *_words_of(finding), opened_at=now, last_at=now),
        details=finding.details,
        clients=clients,
        peak=finding.severity,
        quiet=cover(finding, moment.quiet, now, moment.settings),
    )
    if last and last.resolved_at is not None and now - last.resolved_at <= SOON:
        alert = replace(alert, flaps=last.flaps + 1)
    if alert.quiet:
        return Change(alert, (Transition("opened", told=False), Transition(alert.quiet, False)))
    return Change(_told(alert, now), (Transition("opened", told=True),))


def _words_of(finding: Finding) -> tuple[Severity, str, str, str, str]:
    return (finding.severity, finding.host, finding.pin_set, finding.summary, finding.command)


def _still(known: Alert, finding: Finding, clients: int | None, moment: _Moment) -> Change:
    """Rules 2 and 4."""
    now = moment.now
    quiet = cover(finding, moment.quiet, now, moment.settings)
    severity, _, _, summary, command = _words_of(finding)
    alert = replace(
        known,
        severity=severity,
        summary=summary,
        command=command,
        details=finding.details,
        clients=clients,
        last_at=now,
        gone_at=None,
        quiet=quiet,
    )
    news = _news(alert, known, moment)
    if "repeated" in news:
        alert = replace(alert, repeats=alert.repeats + 1)
    if "escalated" in news:
        alert = replace(alert, peak=severity, acknowledged_at=None, acknowledged_by="")
    if news and not quiet:
        alert = _told(alert, now)
    return Change(alert, tuple(Transition(each, told=not quiet) for each in news), known)


def _news(alert: Alert, known: Alert, moment: _Moment) -> tuple[What, ...]:
    """What there is to say of an alert that goes on."""
    rose: tuple[What, ...] = ("escalated",) if worse(alert.severity, alert.peak) else ()
    if alert.quiet != known.quiet:
        return (alert.quiet, *rose) if alert.quiet else ("resumed",)
    if rose or alert.quiet or alert.severity == "info" or alert.told_at is None:
        return rose
    if alert.acknowledged_at is not None:
        return ()
    due = moment.now - alert.told_at >= moment.settings.repeat.total_seconds()
    return ("repeated",) if due else ()


def _told(alert: Alert, now: int) -> Alert:
    return replace(alert, told_at=now, told_clients=alert.clients, peak=alert.severity)


def _gone(before: Mapping[str, Alert], seen: Seen, moment: _Moment) -> Iterator[Change]:
    """Rules 3 and 5."""
    there = {each.key for each in seen.findings}
    for known in before.values():
        if known.resolved_at is not None or known.key in there:
            continue
        if known.rule in seen.blind:
            yield Change(replace(known, gone_at=None), before=known)
        else:
            yield _going(known, moment)


def _going(known: Alert, moment: _Moment) -> Change:
    now = moment.now
    alert = replace(known, gone_at=now if known.gone_at is None else known.gone_at)
    if now - (alert.gone_at or 0) < hold(alert, moment.settings):
        return Change(alert, before=known)
    silenced = cover(known, moment.quiet, now, moment.settings) == "silenced"
    told = known.told_at is not None and not silenced
    over = replace(alert, resolved_at=now)
    return Change(over, (Transition("resolved", told=told),), known)


def _matters(change: Change, written: Alert | None, now: int) -> bool:
    """Whether it has to be written. That it is still there is written now and then."""
    if change.transitions or written is None:
        return True
    fresh = 0 <= now - written.last_at < _FRESH
    return change.alert != (replace(written, last_at=change.alert.last_at) if fresh else written)
