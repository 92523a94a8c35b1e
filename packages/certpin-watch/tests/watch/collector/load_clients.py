"""Clients that send reports to a collector until they are stopped, even while it fails.

Each client sends a report again if the response was not 2xx, and repeats some accepted reports.
Tests then check that the store counts each accepted report once.
"""

from __future__ import annotations

import http.client
import threading
import time
from datetime import datetime
from typing import TYPE_CHECKING, Self

from sqlalchemy import func, select

from certpin_watch.collector.decode import identity
from certpin_watch.store.identities import FIRST_DATED
from certpin_watch.store.tables.observations import REPORT_GROUPS, REPORT_IDENTITIES
from tests.watch.collector import bodies

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from certpin_watch.store import Store


_TRIES = 3  # attempts for a report: without an answer it may be counted, but is not in `accepted`
_PATIENCE = 8.0  # seconds for an answer
_THREADS = 4


class Clients:
    """Threads that send reports to a port while the block runs.

    ``accepted`` has the numbers of the reports that got a response with 2xx. ``refused`` counts the
    other requests.
    """

    def __init__(self, port: int) -> None:
        self.accepted: set[int] = set()
        self.refused = 0
        self._port = port
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(n,)) for n in range(_THREADS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, more: int, deadline: float = 60.0) -> None:
        """Wait until ``more`` further reports are accepted."""
        _wait(lambda: len(self.accepted), more, deadline)

    def wait_for_refusals(self, more: int, deadline: float = 60.0) -> None:
        """Wait until ``more`` further requests have been refused or have got no response.

        Raises:
            TimeoutError: this took longer than ``deadline`` seconds.
        """
        _wait(lambda: self.refused, more, deadline)

    def _send(self, number: int) -> None:
        while not self._stop.is_set():
            if any(self._post(number) for _ in range(_TRIES)):
                self.accepted.add(number)
                if number % 7 == 0:
                    self._post(number)  # an app that was restarted
            number += _THREADS

    def _post(self, number: int) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_PATIENCE)
        try:
            headers = {"Content-Type": "application/json"}
            connection.request("POST", "/reports", bodies.body(number), headers)
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException):
            status = 0
            self._stop.wait(0.02)
        finally:
            connection.close()
        if status != http.client.NO_CONTENT:
            self.refused += 1
        return status == http.client.NO_CONTENT


def _wait(count: Callable[[], int], more: int, deadline: float) -> None:
    wanted, until = count() + more, time.monotonic() + deadline
    while (found := count()) < wanted:
        if time.monotonic() > until:
            raise TimeoutError(f"{found} of {wanted} after {deadline:g} s")
        time.sleep(0.01)


def missing(store: Store, accepted: set[int]) -> set[int]:
    """Return the numbers in ``accepted`` that have no report in the store."""
    with store.read() as connection:
        there = set(map(bytes, connection.execute(select(REPORT_IDENTITIES.c.identity)).scalars()))
    return {number for number in accepted if _identity(number) not in there}


def counted(store: Store) -> tuple[int, int]:
    """Return the sum of the counts of all groups of reports, and the number of different reports.

    The two are equal if the store counts each report once.
    """
    with store.read() as connection:
        total = connection.execute(select(func.sum(REPORT_GROUPS.c.count))).scalar() or 0
        # A late report has a second identity on PostgreSQL.
        dated = REPORT_IDENTITIES.c.identity >= FIRST_DATED
        known = select(func.count()).select_from(REPORT_IDENTITIES).where(dated)
        return int(total), connection.execute(known).scalar_one()


def _identity(number: int) -> bytes:
    report = bodies.report(number)
    return identity(
        "certpin", f"id:{report['id']}", "", datetime.fromisoformat(report["date-time"])
    )
