"""Sentences for pages about data that is missing or old.

Without them, a page without alerts would look as if there were no problem, even if nothing was
probed.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from certpin.support.text import sentence
from certpin_watch.html import ago, number
from certpin_watch.store.engine import REASONS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin_watch.health import ProcessHealth
    from certpin_watch.settings import Thresholds
    from certpin_watch.store.queries.freshness import Freshness, VantageFreshness
    from certpin_watch.store.queries.hosts import Host

_MAX_NAMES = 5  # of hosts without a result
_CLOCK_SKEW = timedelta(minutes=5)  # more than the clocks of two machines usually differ


def of_service(fresh: Freshness, now: datetime, health: ProcessHealth | None = None) -> list[str]:
    """Return sentences about data of the whole service that is missing or old, for a page.

    Args:
        fresh: how old the newest data of each kind is, and which data is missing.
        now: the time of the page.
        health: the health of the process that renders the page; None if it is unknown.
    """
    return [
        *_of_process(health),
        *_of_store(fresh),
        *_of_files(fresh),
        *_of_hosts(fresh),
        *_of_locations(fresh, now),
        *_of_reports(fresh, now),
    ]


def of_host(host: Host, now: datetime, thresholds: Thresholds) -> Iterator[str]:
    """Yield sentences about data of one host that is missing or old.

    ``thresholds`` has the age from which probe results are old.
    """
    if not host.vantages:
        yield "No location has probed this host yet: its chain is unknown."
    for seen in host.vantages:
        if now - seen.last_at > thresholds.stale:
            yield (
                f"The last result of the location {seen.vantage} is from "
                f"{ago(seen.last_at, now)}: the chain may have changed."
            )
    if not any(policy.alive for policy in host.policies):
        yield (
            "No journal contains the versions that clients hold, so the effect of a new key on "
            "clients is unknown. To start a journal: certpin publish sign, "
            "or certpin rotate shipped"
        )


def _of_process(health: ProcessHealth | None) -> Iterator[str]:
    if health is None:
        return
    for name in sorted(health.failing):
        yield f"The background task {name} fails and is restarted: the log contains the reason."
    if "stream" in health.lacking:
        trouble = health.troubles["stream"]() if "stream" in health.troubles else ""
        reason = f" The last error of NATS: {trouble}." if trouble else ""
        yield (
            "Reports can't be accepted now: NATS is unavailable, or its stream is full or stores "
            f"nothing. Reports are refused, and clients keep theirs.{reason}"
        )


def _of_store(fresh: Freshness) -> Iterator[str]:
    if fresh.unwritable:
        problem, fix = REASONS[fresh.unwritable]
        yield (
            f"Nothing can be stored now: {problem}. Reports are refused, and clients keep theirs; "
            f"probe results are lost, and no new alert is sent. What to do: {fix}."
        )
    for weakness in fresh.weaknesses:
        yield f"{weakness}."
    if fresh.held_until:
        yield (
            "The clock moved ahead by more than a day, or the service was off for that long: "
            f"nothing is deleted before {fresh.held_until:%Y-%m-%d %H:%M} UTC. If the clock is "
            "wrong, correct it before then."
        )
    for sweep in fresh.failing:
        reason = REASONS[sweep.reason][0] if sweep.reason in REASONS else "no attempt for days"
        yield (
            f"Old rows of {sweep.kind} are not deleted: {reason}. Other rows are. The log contains "
            "more; the next attempt is within an hour."
        )
    if fresh.window is not None and fresh.window.problem:
        yield f"{sentence(fresh.window.problem)}."


def _of_files(fresh: Freshness) -> Iterator[str]:
    for problem in fresh.problems:
        yield (
            "A file can't be read; its last readable content, if any, stays in use: "
            + problem.replace("\n  fix: ", ". What to do: ")
        )


def _of_hosts(fresh: Freshness) -> Iterator[str]:
    if fresh.unseen_count:
        names = ", ".join(fresh.unseen[:_MAX_NAMES])
        more = fresh.unseen_count - _MAX_NAMES
        rest = f" and {number(more)} more" if more > 0 else ""
        yield f"No location has probed {names}{rest} yet."


def _of_locations(fresh: Freshness, now: datetime) -> Iterator[str]:
    if not fresh.vantages and fresh.hosts:
        yield "There is no probe result at all: is the monitor running?"
    for location in fresh.vantages:
        if location.stale:
            last = (
                f"its last result is from {ago(location.last_at, now)}"
                if location.last_at
                else "it never sent a result"
            )
            workers = _of_workers(fresh, location, now)
            yield f"The location {location.vantage} is silent: {last}.{workers}"


def _of_workers(fresh: Freshness, silent: VantageFreshness, now: datetime) -> str:
    """Return a sentence about the last contact with the workers of a silent location.

    It is empty for the location of the service itself, which has no workers.

    Args:
        fresh: when each worker made contact.
        silent: the location, which has no recent probe results.
        now: the time of the page.
    """
    workers = [worker for worker in fresh.workers if worker.vantage == silent.vantage]
    last = max((worker.last_at for worker in workers if worker.last_at), default=None)
    if last:
        return f" The last contact with one of its workers was {ago(last, now)}."
    return " None of its workers ever made contact." if workers else ""


def _of_reports(fresh: Freshness, now: datetime) -> Iterator[str]:
    if fresh.last_report is not None and fresh.last_report > now + _CLOCK_SKEW:
        yield (
            f"The last report has the time {fresh.last_report:%Y-%m-%d %H:%M} UTC, which is in the "
            "future: the clock was ahead, or is behind now. Reports from then are missing in every "
            "range that ends today."
        )
    if fresh.last_report is None:
        yield (
            "No report was ever received. There may be no failures, or clients can't reach the "
            "collector: the data can't show which."
        )
    if fresh.full:
        full = " and ".join(f"{quota.name} ({number(quota.most)})" for quota in fresh.full)
        yield (
            f"A quota for reports is nearly used up: {full}. Reports are counted, but new ones "
            "with fewer details, and not every chain is stored. Is a client flooding the collector?"
        )
    if fresh.queue is not None and fresh.queue.late:
        yield (
            f"Reports wait to be counted: those since {fresh.queue.since:%Y-%m-%d %H:%M} UTC are "
            "safe in the queue, and missing here. Is a writer running, and does it reach NATS?"
        )
