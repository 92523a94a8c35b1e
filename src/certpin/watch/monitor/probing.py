"""Ask many targets at once: plain TLS in one thread that never waits, STARTTLS in a few threads.

Everything is bounded: how many are under way, how long each may take, and what each may bring.
Nothing is judged here but whether a chain verifies for its host, which OpenSSL does.
"""

from __future__ import annotations

import socket
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from certpin.errors import InputError, ProbeError
from certpin.pins import TrustAnchors
from certpin.probe import observe
from certpin.probe.contexts import Contexts
from certpin.probe.scan import Limits, scan
from certpin.probe.words import describe
from certpin.watch.monitor.answers import Answer, Asking, endpoint_of

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future

    from certpin.watch.monitor.wire import Job, Result

_THREADS = 16
_MOST_ADDRESSES = 64  # of one name
_ROOTS_HOLD = 3600.0  # seconds until the platform's roots are read again


class Prober:
    """Asks targets. Not for two threads at once.

    ``window`` is how many are under way at once; ``clock`` gives seconds since 1970.
    """

    def __init__(self, window: int = 256, clock: Callable[[], float] = time.time) -> None:
        self._window = window
        self._clock = clock
        self._contexts = Contexts()
        self._made = time.monotonic()

    def ask(self, jobs: Sequence[Job]) -> Iterator[Result]:
        """One result for each job, as they come. Never raises what a server or a job causes."""
        if time.monotonic() - self._made > _ROOTS_HOLD:
            self._contexts, self._made = Contexts(), time.monotonic()
        groups: dict[tuple[tuple[bytes, ...] | None, float], list[Job]] = defaultdict(list)
        with ThreadPoolExecutor(_THREADS, "certpin-monitor") as pool:
            observed = [pool.submit(self._observe, job) for job in jobs if job.starttls]
            for job in jobs:
                if not job.starttls:
                    groups[job.anchors, job.timeout].append(job)
            for (_, timeout), group in groups.items():
                limits = Limits(window=self._window, timeout=timeout)
                for answer in self._scanned(group, limits, pool):
                    yield answer.result(self._clock())
            for future in observed:
                yield future.result().result(self._clock())

    def _scanned(
        self, jobs: list[Job], limits: Limits, pool: ThreadPoolExecutor
    ) -> Iterator[Answer]:
        context = self._context(jobs[0])
        asking = Asking()
        for answer, found in _with_edges(jobs, pool):
            if isinstance(context, str) or isinstance(found, str):
                answer.fail(context if isinstance(context, str) else str(found))
                yield answer
            else:
                asking.begin(answer, found)
        if isinstance(context, str):
            return
        for sighting in scan(asking.endpoints(), context=context, limits=limits):
            yield from asking.take(sighting)

    def _observe(self, job: Job) -> Answer:
        answer = Answer(job)
        context, found = self._context(job), _edges(job)
        if isinstance(context, str) or isinstance(found, str):
            answer.fail(context if isinstance(context, str) else str(found))
            return answer
        for edge in found:
            try:
                seen = observe(endpoint_of(job, edge), context, patience=job.timeout)
            except ProbeError as exc:
                answer.fail(exc.problem, edge, edge)
            else:
                answer.observed(edge, seen)
        return answer

    def _context(self, job: Job) -> ssl.SSLContext | str:
        """The context for a job, or why there is none."""
        trust = None if job.anchors is None else TrustAnchors(job.anchors)
        try:
            return self._contexts.of(trust)
        except (InputError, OSError) as exc:  # ssl.SSLError is an OSError
            return f"its trust anchors cannot be used: {describe(exc)}"


def _with_edges(
    jobs: list[Job], pool: ThreadPoolExecutor
) -> Iterator[tuple[Answer, list[str] | str]]:
    """Each job with the addresses that it asks, or why there are none. Names are looked up at
    once, and only where every address of one is asked.
    """
    looked: dict[int, Future[list[str] | str]] = {
        at: pool.submit(_edges, job) for at, job in enumerate(jobs) if job.every_address
    }
    for at, job in enumerate(jobs):
        yield Answer(job), (looked[at].result() if at in looked else [""])


def _edges(job: Job) -> list[str] | str:
    """The addresses of a name, or why there are none; an empty one is whichever answers."""
    if not job.every_address:
        return [""]
    host, port = job.connect or (job.host, job.port)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        return f"no address: {describe(exc)}"
    return sorted({str(address[0]).partition("%")[0] for *_, address in found})[:_MOST_ADDRESSES]
