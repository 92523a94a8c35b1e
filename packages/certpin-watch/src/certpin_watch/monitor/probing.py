"""Ask many targets at once: plain TLS in one thread that never waits, STARTTLS in a few threads.

Everything is bounded: how many are under way, how long each may take, and what each may bring.
Nothing is judged here but whether a chain verifies for its host, which OpenSSL does.
"""

from __future__ import annotations

import socket
import time
from collections import defaultdict
from concurrent.futures import FIRST_COMPLETED, wait
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from certpin.errors import InputError, ProbeError
from certpin.pins import TrustAnchors
from certpin.probe import ContextCache, describe_error, observe
from certpin.probe.scan import ScanLimits, scan
from certpin_watch.monitor.crew import Crew
from certpin_watch.monitor.results import Answer, Asking, endpoint_of

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import Future

    from certpin_watch.monitor.results import Job, Result

    # The addresses of a job (an empty one is whichever answers), or why there are none.
    Edges = list[str] | str

Found = TypeVar("Found")

_MOST_ADDRESSES = 64  # of one name
_ROOTS_HOLD = 3600.0  # seconds until the platform's roots are read again
_HALTING = 0.2  # seconds between two looks whether to go on


def _trust(job: Job) -> TrustAnchors | None:
    return None if job.anchors is None else TrustAnchors(job.anchors, strict=job.strict)


def _never() -> bool:
    return False


class Prober:
    """Asks targets. Not for two threads at once.

    ``window`` is how many are under way at once; ``clock`` gives seconds since 1970; soon after
    ``halted`` says so nothing more comes, and what was under way is dropped.
    """

    def __init__(
        self,
        window: int = 256,
        clock: Callable[[], float] = time.time,
        halted: Callable[[], bool] = _never,
    ) -> None:
        self._window = window
        self._clock = clock
        self._halted = halted
        self._contexts = ContextCache()
        self._made = time.monotonic()

    def ask(self, jobs: Sequence[Job]) -> Iterator[Result]:
        """One result for each job, as they come. Never raises what a server or a job causes."""
        if time.monotonic() - self._made > _ROOTS_HOLD:
            self._contexts, self._made = ContextCache(), time.monotonic()
        groups: dict[tuple[TrustAnchors | None, float], list[Job]] = defaultdict(list)
        with Crew() as crew:
            observed = [crew.submit(partial(self._observe, job)) for job in jobs if job.starttls]
            for job in jobs:
                if not job.starttls:
                    groups[_trust(job), job.timeout].append(job)
            for (_, timeout), group in groups.items():
                limits = ScanLimits(window=self._window, timeout=timeout)
                for answer in self._scanned(group, limits, crew):
                    yield answer.result(self._clock())
            for answer in self._done(observed):
                yield answer.result(self._clock())

    def _scanned(self, jobs: list[Job], limits: ScanLimits, crew: Crew) -> Iterator[Answer]:
        context = self._context(jobs[0])
        if isinstance(context, str):
            yield from (_failed(job, context) for job in jobs)
            return
        asking = Asking()
        looked = [crew.submit(partial(_with_edges, job)) for job in jobs if job.every_address]
        for job in jobs:
            if not job.every_address:
                asking.begin(Answer(job), [""])
        for job, edges in self._done(looked):
            if isinstance(edges, str):
                yield _failed(job, edges)
            else:
                asking.begin(Answer(job), edges)
        endpoints = asking.endpoints()
        for seen in scan(endpoints, context=context, limits=limits, halted=self._halted):
            yield from asking.take(seen)

    def _observe(self, job: Job) -> Answer:
        context, edges = self._context(job), _edges(job)
        if isinstance(context, str):
            return _failed(job, context)
        if isinstance(edges, str):
            return _failed(job, edges)
        answer = Answer(job)
        for edge in edges:
            begun = time.monotonic()
            try:
                seen = observe(endpoint_of(job, edge), context, timeout=job.timeout)
            except ProbeError as exc:
                answer.fail(exc.problem, edge, edge, time.monotonic() - begun)
            else:
                answer.observed(edge, seen, time.monotonic() - begun)
        return answer

    def _context(self, job: Job) -> ssl.SSLContext | str:
        """The context for a job, or why there is none."""
        try:
            return self._contexts.get(_trust(job))
        except (InputError, OSError) as exc:  # ssl.SSLError is an OSError
            return f"its trust anchors cannot be used: {describe_error(exc)}"

    def _done(self, futures: Iterable[Future[Found]]) -> Iterator[Found]:
        """What calls brought, as they end."""
        waiting = set(futures)
        while waiting and not self._halted():
            done, waiting = wait(waiting, _HALTING, FIRST_COMPLETED)
            yield from (future.result() for future in done)


def _failed(job: Job, problem: str) -> Answer:
    answer = Answer(job)
    answer.fail(problem)
    return answer


def _with_edges(job: Job) -> tuple[Job, Edges]:
    return job, _edges(job)


def _edges(job: Job) -> Edges:
    if not job.every_address:
        return [""]
    try:
        return sorted(_addresses(*(job.connect or (job.host, job.port))))[:_MOST_ADDRESSES]
    except (OSError, UnicodeError) as exc:
        return f"no address: {describe_error(exc)}"


def _addresses(host: str, port: int) -> set[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return {str(address[0]).partition("%")[0] for *_, address in found}
