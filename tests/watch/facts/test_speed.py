"""No question reads a whole table: SQLite says how it looks for the answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event

from certpin.watch.facts import adoption, alerts, failures, freshness, hosts, sightings
from certpin.watch.facts.failures import Only, Range
from tests.watch.facts import _world as world
from tests.watch.facts._world import API, DAY, NOW

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from certpin.watch.store import Store

YEAR = Range(NOW - 365 * DAY, NOW)
GLANCE = world.glance()
QUESTIONS: dict[str, Callable[[Connection], object]] = {
    "hosts": lambda c: hosts.hosts(c, GLANCE, NOW),
    "history": lambda c: sightings.history(c, API),
    "next page": lambda c: sightings.history(c, API, before=(1, 1)),
    "series of a host": lambda c: failures.series(c, YEAR, only=Only(host=API)),
    "series of a chain": lambda c: failures.groups(c, YEAR, only=Only(served="00" * 32)),
    "series": lambda c: failures.series(c, YEAR, by="platform"),
    "groups": lambda c: failures.groups(c, YEAR, before=(1, 1)),
    "total": lambda c: failures.total(c, YEAR),
    "top chains": lambda c: failures.top_chains(c, YEAR),
    "adoption": lambda c: adoption.adoption(c, GLANCE.sets[0], NOW),
    "told": lambda c: adoption.told(c, "bank", NOW, [11]),
    "open alerts": alerts.open_alerts,
    "alerts of a host": lambda c: alerts.alerts(c, host=API),
    "freshness": lambda c: freshness.freshness(c, GLANCE, NOW),
}
# Small tables, and an index as a whole: what is asked from each vantage, who holds a lease, and
# the one stream that there is.
FINE = (
    *("SCAN vantages", "SCAN leases", "SCAN report_queue"),
    "SCAN sightings USING INDEX ix_sightings_one_goes_on",
)


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_is_answered_by_an_index(sqlite_store: Store, name: str) -> None:
    plans: list[str] = []

    def explain(connection: Any, cursor: Any, statement: str, parameters: Any, *rest: Any) -> None:
        del cursor, rest
        raw = connection.connection.dbapi_connection
        plans.extend(row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {statement}", parameters))

    event.listen(sqlite_store.engine, "before_cursor_execute", explain)
    with sqlite_store.read() as connection:
        QUESTIONS[name](connection)
    scans = [plan for plan in plans if plan.startswith("SCAN")]
    assert [plan for plan in scans if "COVERING" not in plan and not plan.startswith(FINE)] == []
    assert plans
