"""Sentences about gaps in the data, so that a page without alerts does not look reassuring."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from certpin_watch.html.words import ago, number
from certpin_watch.store.failures import REASONS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin_watch.health import ProcessHealth
    from certpin_watch.store.queries.base import Thresholds
    from certpin_watch.store.queries.failures import Series
    from certpin_watch.store.queries.freshness import Freshness, VantageFreshness
    from certpin_watch.store.queries.hosts import Host


_NAMED = 5
_AHEAD = timedelta(minutes=5)  # more than machines' clocks differ by


def of_the_watch(fresh: Freshness, now: datetime, health: ProcessHealth | None = None) -> list[str]:
    """About everything that is watched; ``health`` is that of the process that answers."""
    return [
        *_of_the_process(health),
        *_of_the_store(fresh),
        *_of_files(fresh),
        *_of_hosts(fresh),
        *_of_vantages(fresh, now),
        *_of_reports(fresh, now),
    ]


def of_a_time(found: Series) -> Iterator[str]:
    """About reports over time: where nobody took any, their number says nothing."""
    if found.unknown:
        what = number(len(found.unknown), found.bucket)
        yield (
            f"In {what} of this time, the last one from {found.unknown[-1]:%Y-%m-%d %H:%M} UTC, "
            "nobody took reports for a while: what clients met then may have been told later, or "
            "never. No bar does not mean that nothing happened."
        )


def of_a_host(host: Host, now: datetime, limits: Thresholds) -> Iterator[str]:
    """About one host."""
    if not host.vantages:
        yield "No vantage has ever looked at this host: nobody here knows what it serves."
    for each in host.vantages:
        if now - each.last_at > limits.stale:
            yield (
                f"The vantage {each.vantage} looked {ago(each.last_at, now)} for the last time: "
                "what it saw may have changed."
            )
    if not any(policy.alive for policy in host.policies):
        yield (
            "No journal says which versions clients hold, so nobody can say whom a change of keys "
            "would lock out: certpin rotate publish begins one."
        )


def _of_the_process(health: ProcessHealth | None) -> Iterator[str]:
    if health is None:
        return
    for name in sorted(health.failing):
        yield f"The part {name} fails, and is begun again and again: the log says why."
    if "stream" in health.lacking:
        yield (
            "No report can be taken in now: NATS is away, or its stream is full or stores nothing. "
            "Reports are refused, and clients keep theirs."
        )


def _of_the_store(fresh: Freshness) -> Iterator[str]:
    if fresh.unwritable:
        problem, fix = REASONS[fresh.unwritable]
        yield (
            f"Nothing can be stored now: {problem}. Reports are refused, and clients keep theirs; "
            f"what probes see is lost, and nobody is told of anything new. What to do: {fix}."
        )
    for each in fresh.weaknesses:
        yield f"{each}."
    if fresh.held_until:
        yield (
            "The clock leapt ahead by more than a day, or the watch was off for as long: nothing "
            f"is deleted before {fresh.held_until:%Y-%m-%d %H:%M} UTC. If the clock is wrong, put "
            "it right before then."
        )
    for sweep in fresh.failing:
        why = REASONS[sweep.reason][0] if sweep.reason in REASONS else "nothing was tried for days"
        yield (
            f"Old rows of {sweep.kind} are not deleted: {why}. Other kinds are. The log says more; "
            "the next attempt is within an hour."
        )
    if fresh.window is not None and fresh.window.problem:
        yield f"{fresh.window.problem[0].upper()}{fresh.window.problem[1:]}."


def _of_files(fresh: Freshness) -> Iterator[str]:
    for problem in fresh.problems:
        yield (
            "A file cannot be read; what it said before, if it could be read then, counts: "
            + problem.replace("\n  fix: ", ". What to do: ")
        )


def _of_hosts(fresh: Freshness) -> Iterator[str]:
    if fresh.unseen_count:
        named = ", ".join(fresh.unseen[:_NAMED])
        more = fresh.unseen_count - _NAMED
        rest = f" and {number(more)} more" if more > 0 else ""
        yield f"No vantage has ever looked at {named}{rest}."


def _of_vantages(fresh: Freshness, now: datetime) -> Iterator[str]:
    if not fresh.vantages and fresh.hosts:
        yield "No probe has ever been made: is the monitor running?"
    for each in fresh.vantages:
        if each.stale:
            last = (
                f"it answered {ago(each.last_at, now)} last"
                if each.last_at
                else "it never answered"
            )
            yield f"The vantage {each.vantage} is silent: {last}.{_of_workers(fresh, each, now)}"


def _of_workers(fresh: Freshness, silent: VantageFreshness, now: datetime) -> str:
    """When the workers of a silent vantage were last heard. The service's own has none."""
    workers = [each for each in fresh.workers if each.vantage == silent.vantage]
    heard = max((each.last_at for each in workers if each.last_at), default=None)
    if heard:
        return f" One of its workers was heard {ago(heard, now)} last."
    return " None of its workers was ever heard." if workers else ""


def _of_reports(fresh: Freshness, now: datetime) -> Iterator[str]:
    if fresh.last_report is not None and fresh.last_report > now + _AHEAD:
        yield (
            f"The last report was counted under {fresh.last_report:%Y-%m-%d %H:%M} UTC, which has "
            "not come yet: the clock ran ahead, or runs behind now. What came in meanwhile is "
            "missing from every time that ends today."
        )
    if fresh.last_report is None:
        yield (
            "No report has ever come in. That clients are well, and that none can reach the "
            "collector, look the same from here."
        )
    if fresh.full:
        full = " and ".join(f"{each.name} ({number(each.most)})" for each in fresh.full)
        yield (
            f"The room for what reports bring is nearly used up: {full}. They are counted, but new "
            "ones say less, and not every chain is kept. Does somebody flood the collector?"
        )
    if fresh.queue is not None and fresh.queue.late:
        yield (
            f"Reports wait to be counted: what came in since {fresh.queue.since:%Y-%m-%d %H:%M} "
            "UTC is safe in the queue, and is missing here. Is a writer running, and does it "
            "reach NATS?"
        )
