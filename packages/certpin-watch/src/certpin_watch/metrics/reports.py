"""Counters of reports: read from the store, but counted from when this process began.

The store forgets (``retention``), and a counter that falls is taken for one that began anew: all
that is left would be counted once more. So each counter begins at nothing and only ever rises.
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, get_args

from prometheus_client.core import CounterMetricFamily
from sqlalchemy import func, select

from certpin.reports.model import Decision, Kind
from certpin_watch.queries.base import HOUR, seconds
from certpin_watch.store.tables.reports import REPORT_GROUPS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from prometheus_client.metrics_core import Metric
    from sqlalchemy import Connection

_OPEN = 3  # hours in which reports may still be counted: a writer may be behind
_OTHER = "other"
_MOST_OPEN = 48 * HOUR  # after a long silence, hours before it are taken as they are

Key = tuple[str, str, str]  # host, kind, decision


class Counted:
    """The reports since the first look. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._from: int | None = None  # the first hour that is still counted from the store
        self._told: Counter[Key] = Counter()
        self._last: Counter[tuple[int, Key]] = Counter()

    def families(
        self, connection: Connection, now: datetime, hosts: Sequence[str]
    ) -> Iterator[Metric]:
        """Two counters. Hosts that nobody watches are in neither of their own names."""
        watched = frozenset(hosts)
        with self._lock:
            counts = self._counts(connection, seconds(now) // HOUR * HOUR, watched)
        failures = CounterMetricFamily(
            "certpin_pin_failures",
            "Reports of connections to a watched host that failed its pins. Claims.",
            labels=["host", "decision"],
        )
        reports = CounterMetricFamily(
            "certpin_reports", "Reports that were stored, by format. Claims.", labels=["kind"]
        )
        by_host: Counter[tuple[str, str]] = Counter()
        by_kind: Counter[str] = Counter(dict.fromkeys(get_args(Kind), 0))
        for (host, kind, decision), number in counts.items():
            by_kind[kind] += number
            by_host[host, decision] += number
        for host in hosts:
            for decision in get_args(Decision):
                failures.add_metric([host, decision], by_host[host, decision])
        for kind, number in sorted(by_kind.items()):
            reports.add_metric([kind], number)
        yield from (failures, reports)

    def _counts(self, connection: Connection, hour: int, watched: frozenset[str]) -> Counter[Key]:
        begin = self._from
        if begin is None or begin < hour - _MOST_OPEN:
            begin = hour - _OPEN * HOUR
            self._last = _sums(connection, begin, watched)
        current = _sums(connection, begin, watched)
        for (at, key), number in current.items():
            self._told[key] += max(0, number - self._last[at, key])
        begin = self._from = max(begin, hour - _OPEN * HOUR)
        self._last = Counter({each: n for each, n in current.items() if each[0] >= begin})
        return self._told


def _sums(connection: Connection, since: int, watched: frozenset[str]) -> Counter[tuple[int, Key]]:
    """By hour and what is told of it. Hosts that nobody watches are one: they have no end."""
    columns = REPORT_GROUPS.c
    by = (columns.hour, columns.host, columns.kind, columns.decision)
    statement = select(*by, func.sum(columns.count)).where(columns.hour >= since).group_by(*by)
    found: Counter[tuple[int, Key]] = Counter()
    for at, host, kind, decision, number in connection.execute(statement):
        key = (
            host if host in watched else "",
            _known(kind, get_args(Kind)),
            _known(decision, get_args(Decision)),
        )
        found[at, key] += int(number)
    return found


def _known(word: str, words: Sequence[str]) -> str:
    return word if word in words else _OTHER
