"""The event loop of a scan: many connections, one thread, deadlines that hold."""

from __future__ import annotations

import selectors
import socket
import ssl
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Self

from certpin.errors import CertificateParseError, DialError, HandshakeError
from certpin.pins.hosts import is_address
from certpin.probe.scan.connection import DONE, READ, WRITE, Connection
from certpin.probe.scan.job import Job
from certpin.probe.scan.resolver import Address, Resolver, literal
from certpin.probe.words import describe, tls_failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from certpin.probe.endpoint import Endpoint
    from certpin.probe.scan.sighting import Limits, Sighting

_IDLE = 0.05  # seconds between two looks at an input that has nothing yet
_HALTING = 0.2  # seconds between two looks whether to go on
_DIAL_FIX = "check the name, the port and the route; raise the time limit for a slow server"


class Loop:
    """A job flies, or rests before its next attempt, or has ended; the window counts them all.

    All attempts have the same time, and so have all rests: what began first is due first.
    A context manager: what still flies at its end is closed.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        limits: Limits,
        override: tuple[Address, ...],
        halted: Callable[[], bool] | None = None,
    ) -> None:
        self._halted = halted
        self._context = context
        self._limits = limits
        self._override = override
        self._more = True  # of the input
        self._flying: dict[Job, None] = {}
        self._resting: deque[tuple[float, Job]] = deque()
        self._ended: deque[Sighting] = deque()
        self._resolver: Resolver[Job] = Resolver(self._flying.__contains__)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._resolver, READ)
        self._away = 0.0  # seconds that were not this loop's own
        self._now = self._clock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for job in tuple(self._flying):
            self._land(job)
        self._selector.close()
        self._resolver.close()

    def run(self, endpoints: Iterator[Endpoint | None]) -> Iterator[Sighting]:
        """Yield what ends, until every endpoint has.

        The clock stands still while the caller deals with a sighting and while the input is read:
        a slow pipe, or a million hosts that are done already, would make servers look slow.
        """
        while self._more or self._flying or self._resting or self._ended:
            if self._halted and self._halted():
                return
            left = time.monotonic()
            while self._ended:
                yield self._ended.popleft()
            patience = self._take_in(endpoints)
            self._away += time.monotonic() - left
            if self._flying or self._resting or self._more:
                self._wait(patience)

    def _take_in(self, endpoints: Iterator[Endpoint | None]) -> float:
        """Begin with as many as there is room for. Returns how long to wait then, in seconds."""
        while self._more and self._has_room():
            try:
                endpoint = next(endpoints)
            except StopIteration:
                self._more = False
                break
            if endpoint is None:
                return _IDLE
            self._attempt(Job(endpoint, self._now))
        return self._limits.timeout

    def _has_room(self) -> bool:
        return len(self._flying) + len(self._resting) + len(self._ended) < self._limits.window

    def _clock(self) -> float:
        return time.monotonic() - self._away

    def _wait(self, patience: float) -> None:
        """Wait ``patience`` seconds at most for something to happen, and deal with it."""
        for key, _ in self._selector.select(self._until_due(patience)):
            self._now = self._clock()
            if key.data is None:
                self._resolved()
            else:
                self._advance(*key.data)
        self._now = self._clock()
        while self._flying and (job := next(iter(self._flying))).deadline <= self._now:
            self._failed(job, f"no answer within {self._limits.timeout:g} s")
        while self._resting and self._resting[0][0] <= self._now:
            self._attempt(self._resting.popleft()[1])

    def _until_due(self, patience: float) -> float:
        """Seconds until a deadline passes or a rest ends, ``patience`` at most."""
        if self._ended:
            return 0.0
        if self._halted:
            patience = min(patience, _HALTING)
        if self._flying:
            patience = min(patience, next(iter(self._flying)).deadline - self._now)
        if self._resting:
            patience = min(patience, self._resting[0][0] - self._now)
        return max(patience, 0.0)

    def _attempt(self, job: Job) -> None:
        job.attempts += 1
        job.deadline = self._now + self._limits.timeout
        self._flying[job] = None
        host, port = job.endpoint.address
        if not job.addresses:
            job.addresses = self._override or (literal(host, port) if is_address(host) else ())
        if job.addresses:
            self._connect(job)
        else:
            self._resolver.ask(job, host, port)

    def _resolved(self) -> None:
        for job, answer in self._resolver.answers():
            if job not in self._flying or job.addresses:
                continue  # too late, or the answer to a former attempt was in time for this one
            if isinstance(answer, OSError):
                again = answer.errno == socket.EAI_AGAIN
                self._failed(job, f"no address: {describe(answer)}", again=again)
            else:
                job.addresses = answer
                self._connect(job)

    def _connect(self, job: Job) -> None:
        try:
            job.connection = Connection(job.address, self._context, job.endpoint.name)
        except OSError as error:
            self._failed(job, describe(error))
            return
        self._selector.register(job.connection.fd, WRITE, (job, job.connection))
        job.event = WRITE

    def _advance(self, job: Job, connection: Connection) -> None:
        """Go on with a connection that has something to read, or room to write."""
        try:
            event = connection.advance()
        except ssl.SSLCertVerificationError as error:
            self._answered(job, connection, refusal=error)
        except ssl.SSLEOFError as error:
            self._failed(job, describe(error))
        except ssl.SSLError as error:
            self._answered(job, connection, failure=tls_failure(error))
        except OSError as error:
            self._failed(job, describe(error))
        else:
            if event == DONE:
                self._answered(job, connection)
            elif event != job.event:
                self._selector.modify(connection.fd, event, (job, connection))
                job.event = event

    def _answered(
        self,
        job: Job,
        connection: Connection,
        *,
        refusal: ssl.SSLCertVerificationError | None = None,
        failure: tuple[str, str] | None = None,
    ) -> None:
        """TLS came to its end, good or bad. To ask again would bring the same."""
        found: dict[str, Any] = {}
        if refusal:
            found = {"refusal": refusal.verify_message.rstrip("."), "code": refusal.verify_code}
        try:
            found |= connection.chains(verified=not (refusal or failure))
        except CertificateParseError as unreadable:
            failure = (f"its certificates cannot be read: {unreadable.problem}", unreadable.fix)
        if failure:
            found["error"] = job.error(HandshakeError, *failure)
        self._end(job, found)

    def _failed(self, job: Job, problem: str, *, again: bool = True) -> None:
        """The network failed: ask again after a pause, if that may help and attempts are left."""
        if again and job.attempts <= self._limits.retries:
            self._land(job)
            self._resting.append((self._now + self._limits.pause, job))
        else:
            self._end(job, {"error": job.error(DialError, problem, _DIAL_FIX)})

    def _end(self, job: Job, found: dict[str, Any]) -> None:
        self._land(job)
        self._ended.append(job.sighting(self._now, found))

    def _land(self, job: Job) -> None:
        """Take a job out of the air: no deadline, no connection."""
        self._flying.pop(job, None)
        connection, job.connection = job.connection, None
        if connection is not None:
            self._selector.unregister(connection.fd)
            connection.close()
