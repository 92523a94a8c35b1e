"""No query scans a large table: checked in the query plans of SQLite."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import pytest
from sqlalchemy import event

from certpin_watch.settings import AlertSettings
from certpin_watch.store.queries import (
    adoption,
    alerts,
    failures,
    freshness,
    hosts,
    reports,
    sightings,
)
from certpin_watch.store.queries.failures import breakdown
from certpin_watch.store.queries.report_counts import By, Range, ReportFilter
from tests.watch.store.queries import _world as world
from tests.watch.store.queries._world import API, DAY, NOW

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from certpin_watch.store import Store

YEAR = Range(NOW - 365 * DAY, NOW)
SNAPSHOT = world.snapshot()
QUERIES: dict[str, Callable[[Connection], object]] = {
    "hosts": lambda c: hosts.hosts(c, SNAPSHOT, NOW),
    "history": lambda c: sightings.history(c, API),
    "next page": lambda c: sightings.history(c, API, before=(1, 1)),
    "series of a host": lambda c: failures.series(c, YEAR, only=ReportFilter(host=API)),
    "series of a chain": lambda c: reports.groups(c, YEAR, only=ReportFilter(served="00" * 32)),
    "series": lambda c: failures.series(c, YEAR, by="platform"),
    "groups": lambda c: reports.groups(c, YEAR, before=(1, 1)),
    "total": lambda c: failures.total(c, YEAR),
    "top chains": lambda c: failures.top_chains(c, YEAR),
    "adoption": lambda c: adoption.adoption(c, SNAPSHOT.sets[0], NOW),
    "reported usage": lambda c: adoption.reported_usage(c, "bank", NOW, [11]),
    "open alerts": lambda c: alerts.open_alerts(c, AlertSettings().hold),
    "alerts of a host": lambda c: alerts.alerts(c, AlertSettings().hold, host=API),
    "freshness": lambda c: freshness.freshness(c, SNAPSHOT, NOW),
}
# Small tables that may be scanned, and whole indexes: locations, leases, tokens, the stream; daily
# sums in the order of their places, and the names of places and traits.
ALLOWED = (
    *(
        "SCAN day_places",
        "SCAN anon_1",
        "SCAN CONSTANT ROW",
        "SCAN (subquery",
        "SCAN report_traits",
        "SCAN report_places",
    ),
    *("SCAN vantages", "SCAN leases", "SCAN report_queue", "SCAN tokens", "SCAN sweeps"),
    "SCAN sightings USING INDEX ix_sightings_one_goes_on",
)


# A year of full days, with a filter of one field each, of two fields, and of all.
DAYS = Range((NOW - 365 * DAY).replace(hour=0), NOW.replace(hour=0))
VALUES: dict[str, Any] = {name: 12 if name == "version" else "00" * 32 for name in get_args(By)}
FILTERS = [
    ReportFilter(),
    *(ReportFilter(**{name: value}) for name, value in VALUES.items()),
    ReportFilter(host=API, network="wifi"),
    ReportFilter(**VALUES),
]


class Plans:
    """Records statements, and the query plans of SQLite for them."""

    def __init__(self, store: Store) -> None:
        self.statements: list[str] = []
        self.plans: list[str] = []
        event.listen(store.engine, "before_cursor_execute", self._explain)

    def _explain(
        self, connection: Any, _: Any, statement: str, parameters: Any, *rest: Any
    ) -> None:
        raw = connection.connection.dbapi_connection
        self.statements.append(statement)
        found = raw.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
        self.plans.extend(row[3] for row in found)

    @property
    def scans(self) -> list[str]:
        """The scans of large tables."""
        found = [plan for plan in self.plans if plan.startswith("SCAN")]
        return [plan for plan in found if "COVERING" not in plan and not plan.startswith(ALLOWED)]


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_uses_an_index(sqlite_store: Store, name: str) -> None:
    recorded = Plans(sqlite_store)
    with sqlite_store.read() as connection:
        QUERIES[name](connection)
    assert recorded.plans
    assert recorded.scans == []


@pytest.mark.medium
def test_a_year_is_read_from_daily_sums_for_every_field_and_filter(sqlite_store: Store) -> None:
    world.fill_store(sqlite_store)  # values that all reports share are not compared
    recorded = Plans(sqlite_store)
    with sqlite_store.read() as connection:
        for only in FILTERS:
            for by in get_args(By):
                failures.series(connection, DAYS, by=by, bucket="day", only=only)
            failures.total(connection, DAYS, only)
            failures.top_chains(connection, DAYS, only=only)
            breakdown(connection, DAYS, get_args(By), only)
    assert not [sql for sql in recorded.statements if "report_groups" in sql]
    assert recorded.scans == []
    assert not [plan for plan in recorded.plans if "AUTOMATIC" in plan], "no temporary index"
    ranked = [sql for sql in recorded.statements if "GROUP BY day_places.place" in sql]
    assert ranked
    for sql in ranked:
        assert "day_places.day +" in sql, "read in the order of the places, without sorting"
