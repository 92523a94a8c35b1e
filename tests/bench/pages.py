"""The pages of the watch, with a year of 500 hosts behind them: the server's time for each.

From the request to the last byte of the answer, without the network: the processor's time, and
beside it that of a clock, which others on the machine make longer. The first look is left out: it
parses what is kept parsed from then on.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.testclient import TestClient

from tests.bench.paired import Figure
from tests.watch._pages import a_year, app_of
from tests.watch.photos import pages_of

if TYPE_CHECKING:
    from collections.abc import Iterator

HOSTS, GROUPS = 500, 300_000
_PROMISED = 100  # milliseconds
_LOOKS = 9


def figures() -> Iterator[Figure]:
    """The median and the slowest of each page."""
    with tempfile.TemporaryDirectory() as folder:
        watch, year = a_year(Path(folder), hosts=HOSTS, groups=GROUPS)
        client = TestClient(
            app_of(watch), "http://127.0.0.1:8460", headers={"accept": "text/html"},
            client=("127.0.0.1", 50000),
        )  # fmt: skip
        slowest = ("", 0.0)
        for name, path in pages_of(year).items():
            client.get(path)
            looks = [_look(client, path) for _ in range(_LOOKS)]
            took, waited = (1000 * statistics.median(each) for each in zip(*looks, strict=True))
            yield Figure(f"page of the watch, server's time: {name}", took, " ms", _PROMISED)
            yield Figure("  beside it: the same by the clock", waited, " ms")
            slowest = max(slowest, (name, took), key=lambda each: each[1])
        yield Figure(f"pages of the watch, the slowest: {slowest[0]}", slowest[1], " ms", _PROMISED)
        watch.store.close()


def _look(client: TestClient, path: str) -> tuple[float, float]:
    """Seconds of the processor, and of the clock."""
    spent, begun = time.process_time(), time.perf_counter()
    client.get(path)
    return time.process_time() - spent, time.perf_counter() - begun
