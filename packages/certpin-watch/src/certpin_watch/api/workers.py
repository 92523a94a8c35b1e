"""The API of workers: they take the jobs of their location, and post results."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from anyio import CapacityLimiter, to_thread
from starlette.responses import Response
from starlette.routing import Route

from certpin.errors import InputError, StoreError
from certpin_watch.api.protocol import JSON, RefusedError, encode, refusal
from certpin_watch.auth.require import require
from certpin_watch.auth.roles import WORKER
from certpin_watch.collector.body import (
    BodyReader,
    ConcurrencyLimit,
    GoneError,
    RequestRefusedError,
)
from certpin_watch.locations import WORKER_JOBS, WORKER_RESULTS
from certpin_watch.monitor.handout import hand_out_jobs, store_results
from certpin_watch.monitor.results import (
    MAX_REQUEST,
    JobBatch,
    JobRequest,
    Receipt,
    ResultBatch,
    decode_request,
    decode_results,
)
from certpin_watch.store.probe_jobs import WorkerIdentity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from certpin_watch.snapshot import Watch


_PATIENCE = 30.0  # seconds for a whole body
_BODIES = BodyReader(MAX_REQUEST, _PATIENCE)
_AT_ONCE = 2  # requests of workers that use the database: pages and reports need it too
_OF_TOKEN = 16  # requests of one token: each has a body in memory, and a stolen token may send many

# By address: a summary, and the types of request and answer, for the description.
ADDRESSES: dict[str, tuple[str, type, type]] = {
    WORKER_JOBS: (
        "Take probe jobs, keep those that it works on, or return them.",
        JobRequest,
        JobBatch,
    ),
    WORKER_RESULTS: ("Post the results of jobs.", ResultBatch, Receipt),
}


class _Bounds(NamedTuple):
    """What workers may use: threads of all of them, and requests of each token."""

    threads: CapacityLimiter
    of_token: ConcurrencyLimit


def routes(watch: Watch) -> list[BaseRoute]:
    """Both addresses."""
    bounds = _Bounds(CapacityLimiter(_AT_ONCE), ConcurrencyLimit(_OF_TOKEN))

    @require(WORKER)
    async def jobs(request: Request) -> Response:
        return await _answered(request, bounds, decode_request, partial(_jobs, watch))

    @require(WORKER)
    async def results(request: Request) -> Response:
        return await _answered(request, bounds, decode_results, partial(_results, watch))

    return [
        Route(WORKER_JOBS, jobs, methods=["POST"]),
        Route(WORKER_RESULTS, results, methods=["POST"]),
    ]


def _jobs(watch: Watch, request: Request, wanted: JobRequest) -> JobBatch:
    return hand_out_jobs(watch, _worker(request, wanted.process), wanted)


def _results(watch: Watch, request: Request, delivery: ResultBatch) -> Receipt:
    worker = _worker(request, delivery.process)
    return Receipt(tuple(store_results(watch, worker, delivery.results)))


def _worker(request: Request, process: str) -> WorkerIdentity:
    visitor = request.state.visitor
    return WorkerIdentity(visitor.location, visitor.name, process)


async def _answered(
    request: Request,
    bounds: _Bounds,
    decode: Callable[[bytes], Any],
    act: Callable[[Request, Any], Any],
) -> Response:
    try:
        with _admitted(bounds.of_token, request.state.visitor.name):
            data = await _body(request)
            found = await to_thread.run_sync(_decoded, decode, data, limiter=bounds.threads)
            answer = await to_thread.run_sync(act, request, found, limiter=bounds.threads)
    except RefusedError as exc:
        return refusal(exc)
    except StoreError:  # its text is for the operator, who finds it in the log
        return refusal(RefusedError(503, "The store is away", "Try again in a moment."))
    return Response(encode(answer), media_type=JSON, headers={"Cache-Control": "no-store"})


@contextmanager
def _admitted(of_token: ConcurrencyLimit, token: str) -> Iterator[None]:
    """Count a request of a token. Raises ``RefusedError`` if it has too many."""
    try:
        if not of_token.enter(token):
            detail = f"This token has {_OF_TOKEN} requests under way."
            raise RefusedError(429, "Too many requests at once", detail)
        yield
    finally:
        of_token.leave(token)


async def _body(request: Request) -> bytes:
    """The body, within bounds. Raises ``RefusedError``."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
        raise RefusedError(415, "This is not JSON", f"Send {JSON}.")
    length = request.headers.get("content-length", "0")
    if not length.isdecimal() or len(length) > 12 or int(length) > MAX_REQUEST:
        raise _too_large()
    try:
        return await _BODIES.read(request.receive)
    except RequestRefusedError as exc:
        if exc.status == 413:
            raise _too_large() from exc
        raise RefusedError(int(exc.status), "The body cannot be read", f"{exc.problem}.") from exc
    except GoneError as exc:
        raise RefusedError(400, "The body cannot be read", f"{exc}.") from exc


def _too_large() -> RefusedError:
    return RefusedError(413, "The body is too large", f"It may have {MAX_REQUEST} bytes.")


def _decoded(decode: Callable[[bytes], Any], data: bytes) -> Any:
    try:
        return decode(data)
    except InputError as exc:
        raise RefusedError(400, "This is not a message of a worker", f"{exc.problem}.") from exc
