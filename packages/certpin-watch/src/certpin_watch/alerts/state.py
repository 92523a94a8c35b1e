"""The state machine of an alert: a pure function of stored alerts, findings, silences and time.

            ┌──────────── repeated, escalated
            ▼                  │
    ──▶ opened ────────────────┴──▶ (gone for a while) ──▶ resolved
            │   ▲
            ▼   │ resumed
    silenced, maintenance

1. An alert opens when its problem is first seen. A message is sent, unless a silence or a
   maintenance window covers the alert.
2. While it is open, messages are repeated at intervals, and at once if its severity rises.
3. It resolves when the problem has been gone for the hold time, which is longer for a problem that
   came back before. The services that got a message about the alert get a message that it resolved,
   unless a silence covers the alert. A maintenance window doesn't prevent this message.
4. An alert that a silence or a maintenance window covers is recorded, and no message is sent. If
   the problem remains when the silence or the window ends, a message is sent.
5. If a rule could not be evaluated, its alerts stay open: their problems don't count as gone. The
   same is true for alerts about hosts with pins that can't be read.
6. If the clock was set back, stored times that are in the future count as now.
7. Messages about an acknowledged alert are not repeated. If its severity rises, a message is sent
   at once, and the alert has to be acknowledged again. That is also so if the severity had fallen
   meanwhile, and only rises to its earlier value.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from certpin_watch.alerts.silences import suppression_of
from certpin_watch.store.alerts import FLAP_SECONDS, AlertRow, is_worse

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from certpin_watch.alerts.silences import Silencing
    from certpin_watch.rules.engine import Evaluation
    from certpin_watch.rules.rule import AlertFinding
    from certpin_watch.settings import AlertSettings
    from certpin_watch.store.alerts import Suppression

What = Literal["opened", "repeated", "escalated", "resumed", "resolved", "silenced", "maintenance"]

_MAX_LAG = 60  # seconds that `last_at` may lag behind, so that not every evaluation is a write


@dataclass(frozen=True)
class Transition:
    """An event of an alert, such as "opened".

    ``notify`` is True if notification services get a message about the event.
    """

    what: What
    notify: bool


@dataclass(frozen=True)
class AlertChange:
    """A new or changed alert to store, its new events, and its previous state.

    ``transitions`` are the events; ``before`` is None for a new alert.
    """

    alert: AlertRow
    transitions: tuple[Transition, ...] = ()
    before: AlertRow | None = None


@dataclass(frozen=True)
class _Context:
    """The input that all alerts of one evaluation share: silences, Unix time and settings."""

    silencing: Silencing
    now: int
    settings: AlertSettings

    def suppression_of(self, problem: AlertFinding | AlertRow) -> Suppression:
        return suppression_of(problem, self.silencing, self.now, self.settings)


def decide(
    known: Iterable[AlertRow],
    evaluation: Evaluation,
    silencing: Silencing,
    now: int,
    settings: AlertSettings,
) -> tuple[AlertChange, ...]:
    """Decide which alerts open, change or resolve, from the problems that rules found.

    Args:
        known: the stored alerts. For each problem, this is the open alert, or if there is none, the
            last resolved one.
        evaluation: the problems (findings) of all rules.
        silencing: silences and maintenance windows.
        now: the Unix time.
        settings: the table ``[alerts]``.

    Returns:
        The alerts to store, with their new events.
    """
    context = _Context(silencing, now, settings)
    written = {alert.key: alert for alert in known}
    before = {key: _not_later(alert, now) for key, alert in written.items()}
    changes = [*_present(before, evaluation, context), *_gone(before, evaluation, context)]
    return tuple(
        change for change in changes if _must_write(change, written.get(change.alert.key), now)
    )


def _not_later(alert: AlertRow, now: int) -> AlertRow:
    """Return a copy of an alert in which each time after ``now`` is replaced by ``now``.

    An alert has such a time if the clock was set back.
    """
    names = ("opened_at", "last_at", "gone_at", "resolved_at", "told_at", "acknowledged_at")
    times = {name: min(value, now) for name in names if (value := getattr(alert, name)) is not None}
    return replace(alert, **times)


def _present(
    before: Mapping[str, AlertRow], evaluation: Evaluation, context: _Context
) -> Iterator[AlertChange]:
    for finding in evaluation.findings:
        clients = evaluation.clients.get(finding.key, finding.clients)
        known = before.get(finding.key)
        if known is None or known.resolved_at is not None:
            yield _open(finding, clients, known, context)
        else:
            yield _continue(known, finding, clients, context)


def _open(
    finding: AlertFinding, clients: int | None, last: AlertRow | None, context: _Context
) -> AlertChange:
    """Return a new alert for a problem that a rule found, with the event "opened".

    If a silence or maintenance window covers the problem, the alert records which of the two, and
    no message is sent. The alert's field ``flaps`` counts how often the problem came back: if
    ``last`` resolved recently, it is ``last.flaps`` plus one, else 0.

    Args:
        finding: the problem that a rule found.
        clients: the number of affected clients; None if unknown.
        last: the previous, resolved alert about the same problem; None if there was none.
        context: silences, time and settings.
    """
    now = context.now
    alert = AlertRow(
        key=finding.key,
        rule=finding.rule,
        severity=finding.severity,
        host=finding.host,
        pin_set=finding.pin_set,
        summary=finding.summary,
        command=finding.command,
        opened_at=now,
        last_at=now,
        details=finding.details,
        clients=clients,
        peak=finding.severity,
        quiet=context.suppression_of(finding),
    )
    if last and last.resolved_at is not None and now - last.resolved_at <= FLAP_SECONDS:
        alert = replace(alert, flaps=last.flaps + 1)
    if alert.quiet:
        return AlertChange(alert, (Transition("opened", False), Transition(alert.quiet, False)))
    return AlertChange(_mark_notified(alert, now), (Transition("opened", True),))


def _continue(
    known: AlertRow, finding: AlertFinding, clients: int | None, context: _Context
) -> AlertChange:
    """Return the change of an open alert with a problem that remains.

    The change has the updated alert and its new events. Possible events are a repeated message that
    is due, a higher severity, and the start or end of a silence or maintenance window.

    Args:
        known: the alert as it is stored.
        finding: the problem as the rule found it now.
        clients: the number of affected clients; None if unknown.
        context: silences, time and settings.
    """
    now = context.now
    quiet = context.suppression_of(finding)
    alert = replace(
        known,
        severity=finding.severity,
        summary=finding.summary,
        command=finding.command,
        details=finding.details,
        clients=clients,
        last_at=now,
        gone_at=None,
        quiet=quiet,
    )
    # No repeated message says that the severity fell, so a later rise has to be sent.
    if known.acknowledged_at is not None and is_worse(known.peak, finding.severity):
        alert = replace(alert, peak=finding.severity)
    events = _events(alert, known, context)
    if "repeated" in events:
        alert = replace(alert, repeats=alert.repeats + 1)
    if "escalated" in events:
        alert = replace(alert, peak=finding.severity, acknowledged_at=None, acknowledged_by="")
    if events and not quiet:
        alert = _mark_notified(alert, now)
    return AlertChange(alert, tuple(Transition(event, not quiet) for event in events), known)


def _events(alert: AlertRow, known: AlertRow, context: _Context) -> tuple[What, ...]:
    """Return the new events of an open alert with a problem that remains, such as "repeated".

    ``alert`` is the alert with the current data of the problem, ``known`` the alert as stored.
    ``context`` has the silences, the time and the settings.
    """
    rose: tuple[What, ...] = ("escalated",) if is_worse(alert.severity, alert.peak) else ()
    if alert.quiet != known.quiet:
        return (alert.quiet, *rose) if alert.quiet else ("resumed",)
    if rose or alert.quiet or alert.severity == "info" or alert.told_at is None:
        return rose
    if alert.acknowledged_at is not None:
        return ()
    is_due = context.now - alert.told_at >= context.settings.repeat.total_seconds()
    return ("repeated",) if is_due else ()


def _mark_notified(alert: AlertRow, now: int) -> AlertRow:
    highest = alert.severity if is_worse(alert.severity, alert.highest) else alert.highest
    return replace(
        alert, told_at=now, told_clients=alert.clients, peak=alert.severity, highest=highest
    )


def _gone(
    before: Mapping[str, AlertRow], evaluation: Evaluation, context: _Context
) -> Iterator[AlertChange]:
    """Yield the change of each open alert with a problem that no rule found in this evaluation.

    There are three changes. If the alert's rule could not be evaluated for the alert's host, the
    problem does not count as gone: ``gone_at`` becomes None. Otherwise ``gone_at`` becomes the
    current time, unless an earlier evaluation has set it. If the problem has then been gone for the
    hold time (``AlertRow.hold_seconds``), the change also resolves the alert. The caller stores the
    changes.

    Args:
        before: the stored alerts, open or resolved, by key. The key identifies the problem.
        evaluation: the problems that the rules found, and the rules that could not be evaluated.
        context: silences, time and settings.
    """
    present = {finding.key for finding in evaluation.findings}
    for known in before.values():
        if known.resolved_at is not None or known.key in present:
            continue
        if not evaluation.covers(known.rule, known.pin_set, known.host):
            yield AlertChange(replace(known, gone_at=None), before=known)
        else:
            yield _hold_or_resolve(known, context)


def _hold_or_resolve(known: AlertRow, context: _Context) -> AlertChange:
    now = context.now
    gone_at = now if known.gone_at is None else known.gone_at
    alert = replace(known, gone_at=gone_at)
    if now - gone_at < alert.hold_seconds(context.settings.hold):
        return AlertChange(alert, before=known)
    notify = known.told_at is not None and context.suppression_of(known) != "silenced"
    resolved = replace(alert, resolved_at=now)
    return AlertChange(resolved, (Transition("resolved", notify),), known)


def _must_write(change: AlertChange, written: AlertRow | None, now: int) -> bool:
    """Return True if a changed alert must be stored now.

    If only ``last_at`` (when the problem was last found) changed, the alert is stored only if the
    stored time is at least ``_MAX_LAG`` seconds old. That saves writes.

    Args:
        change: the changed alert.
        written: the alert as it is stored; None if it is new.
        now: the Unix time.
    """
    if change.transitions or written is None:
        return True
    is_fresh = 0 <= now - written.last_at < _MAX_LAG
    same = replace(written, last_at=change.alert.last_at) if is_fresh else written
    return change.alert != same
