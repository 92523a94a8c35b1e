"""Alert rules about the monitoring service itself: its disk, queue, retention and notifications."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from certpin.support.text import counted
from certpin_watch.rules.rule import AlertFinding, AlertRule
from certpin_watch.store.engine import REASONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin_watch.rules.evidence import Evidence

_MAX_WAIT = timedelta(minutes=5)  # a working writer needs seconds


@partial(
    AlertRule,
    "disk-nearly-full",
    ("critical", "warning"),
    needs="service",
    summary="the disk of the store has little free space",
    why=(
        "If the disk is full, reports are refused, and clients keep theirs for a while. SQLite's "
        "disk has less than `disk` per cent free: critical at a fifth of that."
    ),
)
def _disk_nearly_full(evidence: Evidence) -> Iterator[AlertFinding]:
    free, limit = evidence.service.disk, evidence.limits.disk
    if free is None or free >= limit:
        return
    yield AlertFinding(
        "disk-nearly-full",
        "critical" if free < limit / 5 else "warning",
        "",
        "",
        f"the disk of the store has {free:.1f} % left; if it is full, reports are refused",
        "df -h",
        {"free": round(free, 1)},
    )


@partial(
    AlertRule,
    "reports-wait",
    ("warning",),
    needs="service",
    summary="reports were accepted, but are not counted yet, or can't be accepted",
    why=(
        "The writer that moves reports from the queue into the store is slow, not running, or does "
        "not reach NATS, for five minutes. While NATS is away, reports are refused."
    ),
)
def _reports_wait(evidence: Evidence) -> Iterator[AlertFinding]:
    queue = evidence.service.queue
    now = datetime.fromtimestamp(evidence.now, UTC)
    if queue is None or queue.waits(now) < _MAX_WAIT:
        return
    known = abs(now - queue.looked_at) < _MAX_WAIT
    yield AlertFinding(
        "reports-wait",
        "warning",
        "",
        "",
        f"reports have been waiting to be counted since {queue.since:%Y-%m-%d %H:%M} UTC "
        f"({counted(queue.messages, 'message')}): the pages show older data"
        if known
        else f"no writer has read the queue of reports since {queue.looked_at:%Y-%m-%d %H:%M} UTC: "
        "if NATS can't be reached, reports are refused; if no writer runs, they wait to be counted",
        "systemctl status certpin-watch",
        {"messages": queue.messages},
    )


@partial(
    AlertRule,
    "repeats-unrecognised",
    ("warning",),
    needs="service",
    summary="a report that a client sends again may be counted twice",
    why=(
        "Identities of reports are kept for a shorter time than clients keep reports "
        "(`client_days`), or soon will be: raise `most_identities` or `identities`."
    ),
)
def _repeats_unrecognised(evidence: Evidence) -> Iterator[AlertFinding]:
    window = evidence.service.window
    if window is None or not window.is_short:
        return
    yield AlertFinding(
        "repeats-unrecognised",
        "warning",
        "",
        "",
        window.problem,
        "",
        {
            "recognised": window.days,
            "expected": window.expected_days,
            "a_day": window.a_day,
        },
    )


@partial(
    AlertRule,
    "retention-fails",
    ("warning",),
    needs="service",
    summary="old rows of one kind are not deleted",
    why=(
        "The store grows: a deletion failed, or there was none for three days. Retention of other "
        "kinds of rows continues."
    ),
)
def _retention_fails(evidence: Evidence) -> Iterator[AlertFinding]:
    for sweep in evidence.service.sweeps:
        if not sweep.reason:
            continue
        why = REASONS[sweep.reason][0] if sweep.reason in REASONS else "no attempt for days"
        since = f"since {sweep.done_at:%Y-%m-%d %H:%M} UTC" if sweep.done_at else "so far"
        yield AlertFinding(
            "retention-fails",
            "warning",
            "",
            "",
            f"no retention of {sweep.kind} was complete {since}: {why}",
            "journalctl -u certpin-watch",
            {"what": sweep.kind},
            subject=sweep.kind,
        )


@partial(
    AlertRule,
    "room-used-up",
    ("warning",),
    needs="service",
    summary="a limit on stored report data is nearly reached",
    why=(
        "Reports are still counted, but with less detail. The collector may be being flooded: find "
        "the senders in the proxy's log, and raise the limit if they are your apps."
    ),
)
def _room_used_up(evidence: Evidence) -> Iterator[AlertFinding]:
    for name in evidence.service.full:
        yield AlertFinding(
            "room-used-up",
            "warning",
            "",
            "",
            f"the limit on stored report data is nearly reached ({name}): reports are still "
            "counted, but with less detail; every monitored host has reserved capacity",
            "certpin watch alerts",
            {"what": name},
            subject=name,
        )


@partial(
    AlertRule,
    "telling-fails",
    ("critical",),
    needs="service",
    summary="a notification service did not accept a message",
    why=(
        "A message failed three times, or was given up in the last day. The other services are "
        "notified of it."
    ),
)
def _telling_fails(evidence: Evidence) -> Iterator[AlertFinding]:
    for name, problem in sorted(evidence.service.failing.items()):
        yield AlertFinding(
            "telling-fails",
            "critical",
            "",
            "",
            f"a message to {name} could not be delivered: {problem}",
            "certpin watch alerts --test",
            {"service": name},
            subject=name,
        )


@partial(
    AlertRule,
    "look-fails",
    ("warning",),
    needs="failures",
    summary="some of the monitored data could not be evaluated",
    why="Alerts about it keep their state.",
)
def _look_fails(evidence: Evidence) -> Iterator[AlertFinding]:
    for name, problem in sorted(evidence.service.failures.items()):
        yield AlertFinding(
            "look-fails",
            "warning",
            "",
            "",
            f"the monitoring service could not evaluate {name}: {problem}",
            "journalctl -u certpin-watch",
            {"what": name},
            subject=name,
        )
