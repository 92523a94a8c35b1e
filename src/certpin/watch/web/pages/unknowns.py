"""What the watch does not know, in sentences: a page that is silent about it would look calm."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.watch.web.pages.words import ago, number

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.watch.facts.freshness import Freshness
    from certpin.watch.facts.hosts import Host
    from certpin.watch.facts.limits import Limits
    from certpin.watch.facts.series import Series

_NAMED = 5


def of_the_watch(fresh: Freshness, now: datetime) -> list[str]:
    """About everything that is watched."""
    return [*_of_files(fresh), *_of_hosts(fresh), *_of_vantages(fresh, now), *_of_reports(fresh)]


def of_a_time(found: Series) -> Iterator[str]:
    """About reports over time: where nobody took any, their number says nothing."""
    if found.unknown:
        what = number(len(found.unknown), found.bucket)
        yield (
            f"In {what} of this time, the last one from {found.unknown[-1]:%Y-%m-%d %H:%M} UTC, "
            "nobody took reports for a while: what clients met then may have been told later, or "
            "never. No bar does not mean that nothing happened."
        )


def of_a_host(host: Host, now: datetime, limits: Limits) -> Iterator[str]:
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
            yield f"The vantage {each.vantage} is silent: {last}."


def _of_reports(fresh: Freshness) -> Iterator[str]:
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
