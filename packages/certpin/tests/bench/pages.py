"""The server's time for each page of the monitoring service, with a year of data for 500 hosts.

It is measured from the request to the last byte of the response, without the network: CPU time, and
wall time, which other programs can make longer. The first request is left out, because it fills the
caches. The baseline is one SQLite query over all sums of the year.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from starlette.testclient import TestClient

from certpin_watch.web.failures import DIMENSIONS
from tests.bench.paired import Figure
from tests.watch._pages import a_year, app_of
from tests.watch._year_pins import FIRST, SETS
from tests.watch.photos import pages_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin_watch.store import Store

HOSTS, GROUPS = 500, 300_000
_EVERY_SUM = "SELECT place, sum(count), min(first_at), max(last_at) FROM day_places GROUP BY place"
_LOOKS = 9

# A year of failures for some reports, split by all filters that the page offers.
_FILTERS = {
    "of one network": {"network": "wifi"},
    "of one version of the app": {"app_version": "5.4.0"},
    "of one platform": {"platform": "android"},
    "of one app": {"app": "Bank"},
    "for one reason": {"reason": "mismatch"},
    "of one pin set, which is all": {"pin_set": SETS[0]},
    "of one host": {"host": FIRST[0]},
    "of one network and platform, for one reason": {
        "network": "cellular", "platform": "ios", "reason": "mismatch",
    },
    "of nobody": {"app": "nobody"},
}  # fmt: skip


def figures() -> Iterator[Figure]:
    """Measure each page, and the page of failures with each filter, against one SQLite query.

    The query adds up all sums of the year (``_EVERY_SUM``).

    Each value is the median of several requests. The last figures are those of the slowest page.
    """
    with tempfile.TemporaryDirectory() as folder:
        watch, year = a_year(Path(folder), hosts=HOSTS, groups=GROUPS)
        client = TestClient(
            app_of(watch), "http://127.0.0.1:8460", headers={"accept": "text/html"},
            client=("127.0.0.1", 50000),
        )  # fmt: skip
        look = 1000 * statistics.median(_plain_look(watch.store) for _ in range(_LOOKS))
        yield Figure("a plain look at every sum of the year", look, " ms")
        slowest = ("", 0.0)
        for name, path in pages_of(year).items():
            client.get(path)
            looks = [_look(client, path) for _ in range(_LOOKS)]
            took, waited = (1000 * statistics.median(each) for each in zip(*looks, strict=True))
            yield Figure(f"page of the watch, server's time / a plain look: {name}", took / look)
            yield Figure("  beside it: the same", took, " ms")
            yield Figure("  beside it: the same by the clock", waited, " ms")
            slowest = max(slowest, (name, took), key=lambda each: each[1])
        for name, took in _filtered(client):
            yield Figure(f"a year of failures {name}, the slowest / a plain look", took / look)
            slowest = max(slowest, (f"a year {name}", took), key=lambda each: each[1])
        name = f"pages of the watch, the slowest / a plain look: {slowest[0]}"
        yield Figure(name, slowest[1] / look)
        yield Figure("  beside it: the same", slowest[1], " ms")
        watch.store.close()


def _filtered(client: TestClient) -> Iterator[tuple[str, float]]:
    """Yield each filter of the failures page, with the CPU milliseconds of its slowest variant.

    The variants split the failures by different fields.
    """
    for name, only in _FILTERS.items():
        took = []
        for by in DIMENSIONS:
            path = f"/failures?{urlencode({'range': '365d', 'by': by, **only})}"
            client.get(path)
            took.append(statistics.median(_look(client, path)[0] for _ in range(_LOOKS)))
        yield name, 1000 * max(took)


def _plain_look(store: Store) -> float:
    """Return the CPU seconds of one SQL query that adds up all daily sums: the baseline."""
    begun = time.process_time()
    with store.read() as connection:
        connection.exec_driver_sql(_EVERY_SUM).all()
    return time.process_time() - begun


def _look(client: TestClient, path: str) -> tuple[float, float]:
    """Request a page, and return the CPU seconds and the wall seconds that it took."""
    spent, begun = time.process_time(), time.perf_counter()
    client.get(path)
    return time.process_time() - spent, time.perf_counter() - begun
