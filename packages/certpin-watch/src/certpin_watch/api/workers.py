"""The API of workers: they request the probe jobs of their location, and post the results.

A worker is a program that probes hosts from another location. Its token has the scope
``worker:LOCATION``, and permits only these two requests. Bodies are read with limits, and
completely checked before they are used.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from anyio import CapacityLimiter, to_thread
from starlette.responses import Response
from starlette.routing import Route

from certpin.errors import InputError, StoreError
from certpin_watch.api.protocol import JSON, RefusedError, encode, refusal
from certpin_watch.auth.access import require
from certpin_watch.collector.body import (
    BodyReader,
    ConcurrencyLimit,
    RequestRefusedError,
)
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
from certpin_watch.permissions import WORKER, WORKER_JOBS, WORKER_RESULTS
from certpin_watch.store.leases import WorkerIdentity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from certpin_watch.context import Watch


_BODY_TIMEOUT = 30.0  # seconds for a whole body
_BODIES = BodyReader(MAX_REQUEST, _BODY_TIMEOUT)
_MAX_THREADS = 2  # for all workers: pages and reports need the database too
_MAX_REQUESTS = 16  # of one token: each has a body in memory, and a stolen token may send many

# For the OpenAPI description, by URL: a summary, and the types of request and response.
ADDRESSES: dict[str, tuple[str, type, type]] = {
    WORKER_JOBS: (
        "Get probe jobs, renew their leases, or return them.",
        JobRequest,
        JobBatch,
    ),
    WORKER_RESULTS: ("Post the results of jobs.", ResultBatch, Receipt),
}


class _Limits(NamedTuple):
    """The limits on concurrent requests of workers.

    Attributes:
        threads: limits the threads that answer requests of all workers together.
        of_token: limits the concurrent requests with one token.
    """

    threads: CapacityLimiter
    of_token: ConcurrencyLimit


def routes(watch: Watch) -> list[BaseRoute]:
    """Return the two API routes for workers: one to request probe jobs, one to post results.

    A worker is a program that probes hosts from another location.
    """
    limits = _Limits(CapacityLimiter(_MAX_THREADS), ConcurrencyLimit(_MAX_REQUESTS))

    @require(WORKER)
    async def jobs(request: Request) -> Response:
        return await _respond(request, limits, decode_request, partial(_jobs, watch))

    @require(WORKER)
    async def results(request: Request) -> Response:
        return await _respond(request, limits, decode_results, partial(_results, watch))

    return [
        Route(WORKER_JOBS, jobs, methods=["POST"]),
        Route(WORKER_RESULTS, results, methods=["POST"]),
    ]


def _jobs(watch: Watch, request: Request, wanted: JobRequest) -> JobBatch:
    return hand_out_jobs(watch, _worker(request, wanted.process), wanted)


def _results(watch: Watch, request: Request, batch: ResultBatch) -> Receipt:
    worker = _worker(request, batch.process)
    return Receipt(tuple(store_results(watch, worker, batch.results)))


def _worker(request: Request, process: str) -> WorkerIdentity:
    identity = request.state.identity
    return WorkerIdentity(identity.location, identity.name, process)


async def _respond(
    request: Request,
    limits: _Limits,
    decode: Callable[[bytes], Any],
    act: Callable[[Request, Any], Any],
) -> Response:
    try:
        with _admitted(limits.of_token, request.state.identity.name):
            data = await _body(request)
            message = await to_thread.run_sync(_decode, decode, data, limiter=limits.threads)
            answer = await to_thread.run_sync(act, request, message, limiter=limits.threads)
    except (RefusedError, StoreError) as exc:
        return refusal(exc)
    return Response(encode(answer), media_type=JSON, headers={"Cache-Control": "no-store"})


@contextmanager
def _admitted(of_token: ConcurrencyLimit, token: str) -> Iterator[None]:
    """Run the ``with`` block as one of the limited number of concurrent requests with a token.

    Raises:
        RefusedError: the token already has the maximum number of concurrent requests. The block
            does not run.
    """
    try:
        if not of_token.enter(token):
            detail = f"This token has {_MAX_REQUESTS} requests under way."
            raise RefusedError(429, "Too many requests at once", detail)
        yield
    finally:
        of_token.leave(token)


async def _body(request: Request) -> bytes:
    """Check the headers of a worker's request, read its body, and return the body as it was sent.

    The body is not parsed here: the caller decodes it as JSON. ``RefusedError`` has the HTTP status
    of the error response.

    Raises:
        RefusedError: the Content-Type is not JSON (415); the body has more than ``MAX_REQUEST``
            bytes (413); or it is incomplete (400), or not complete within 30 seconds (408).
    """
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


def _too_large() -> RefusedError:
    return RefusedError(413, "The body is too large", f"It may have {MAX_REQUEST} bytes.")


def _decode(decode: Callable[[bytes], Any], data: bytes) -> Any:
    try:
        return decode(data)
    except InputError as exc:
        raise RefusedError(400, "This is not a message of a worker", f"{exc.problem}.") from exc
