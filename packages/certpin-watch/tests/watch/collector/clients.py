"""Clients that go on until they are told to stop, whatever becomes of the collector.

Each sends its reports with a name of their own, sends again what was not answered with 2xx, and
sometimes what was. What was promised is then to be found in the store: each once.
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
from certpin_watch.store.tables.reports import REPORT_GROUPS, REPORT_IDENTITIES
from tests.watch.collector import bodies

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from certpin_watch.store import Store

_TRIES = 3  # what was not answered is given up then: it may be counted, and is not promised
_PATIENCE = 8.0  # seconds for an answer
_THREADS = 4


class Clients:
    """Threads that send to a port while the block runs. ``promised`` are numbers of reports."""

    def __init__(self, port: int) -> None:
        self.promised: set[int] = set()
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
        """Until so many more are promised."""
        _wait(lambda: len(self.promised), more, deadline)

    def wait_for_refusals(self, more: int, deadline: float = 60.0) -> None:
        """Until so many more requests were refused, or not answered at all."""
        _wait(lambda: self.refused, more, deadline)

    def _send(self, number: int) -> None:
        while not self._stop.is_set():
            if any(self._post(number) for _ in range(_TRIES)):
                self.promised.add(number)
                if number % 7 == 0:
                    self._post(number)  # an app that was started anew
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


def missing(store: Store, promised: set[int]) -> set[int]:
    """Those that are not in the store."""
    with store.read() as connection:
        there = set(map(bytes, connection.execute(select(REPORT_IDENTITIES.c.identity)).scalars()))
    return {number for number in promised if _identity(number) not in there}


def counted(store: Store) -> tuple[int, int]:
    """What the groups add up to, and how many reports are known: the same, if each counts once."""
    with store.read() as connection:
        total = connection.execute(select(func.sum(REPORT_GROUPS.c.count))).scalar() or 0
        # A late report has a second identity on PostgreSQL.
        dated = REPORT_IDENTITIES.c.identity >= FIRST_DATED
        known = select(func.count()).select_from(REPORT_IDENTITIES).where(dated)
        return int(total), connection.execute(known).scalar_one()


def _identity(number: int) -> bytes:
    said = bodies.report(number)
    return identity("certpin", f"id:{said['id']}", "", datetime.fromisoformat(said["date-time"]))
