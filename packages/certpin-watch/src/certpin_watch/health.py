"""Health checks of a process of the service: ``/healthz`` and ``/readyz``.

``certpin serve`` answers both without a login: logins need the store, and a health check must work
when the store is unavailable. Workers and writers have no pages: ``serve_health`` starts a small
server for them.

Responses contain no names of hosts and no addresses. ``/readyz`` lists problems with fixed words:
the name of a background task that fails, ``stopping``, or a dependency that is unavailable
(``nats``, ``service``, ``stream`` or ``store``).
"""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prometheus_client.exposition import choose_encoder
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router

from certpin.errors import CertpinError
from certpin_watch.addresses import is_local_only
from certpin_watch.counters import COUNTERS
from certpin_watch.http_server import (
    check_free,
    make_server,
    wait_until_open,
    wait_until_stopped,
)
from certpin_watch.store.schema import check_tables

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from starlette.requests import Request
    from starlette.types import ASGIApp

    from certpin_watch.store import Store

HEALTHZ, READYZ, METRICS = "/healthz", "/readyz", "/metrics"
NATS = "nats"  # a writer cannot work without it

_TIMEOUT = 5.0  # seconds after which a store that does not answer is unavailable
_FRESH = 1.0  # seconds for which a result is reused: anyone may ask, as often as they like


@dataclass
class ProcessHealth:
    """The health of this process, as its background tasks record it and ``/readyz`` reports it.

    Attributes:
        stopping: True if the process is about to end.
        failing: the names of the background tasks that failed, and were not restarted successfully
            since.
        needs: maps the name of each dependency, such as "nats", to a function that returns True if
            the dependency is available.
        troubles: maps the name of a dependency to a function. It returns the reason why the
            dependency is unavailable, or an empty text. Pages show these reasons, ``/readyz``
            doesn't.
    """

    stopping: bool = False
    failing: set[str] = field(default_factory=set)
    needs: dict[str, Callable[[], bool]] = field(default_factory=dict)
    troubles: dict[str, Callable[[], str]] = field(default_factory=dict)

    @property
    def lacking(self) -> list[str]:
        """The names of the dependencies that are unavailable at present.

        If there is one, the process is not ready (``/readyz``).
        """
        return [name for name, is_available in self.needs.items() if not is_available()]


def health_routes(store: Store | None, health: ProcessHealth) -> list[Route]:
    """Return the routes ``/healthz`` and ``/readyz``.

    ``/healthz`` responds with 200 if the event loop runs. ``/readyz`` responds with 200 if the
    process can do its work, else with 503 and the list of problems.

    Args:
        store: the store to check; None for a worker, which has no store.
        health: the state of this process.
    """
    check = None if store is None else _StoreCheck(store)

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_: Request) -> Response:
        wrong = [f"part {name}" for name in sorted(health.failing)]
        if health.stopping:
            wrong.append("stopping")
        wrong += health.lacking
        if check and not (await check.is_available() and check.is_writable()):
            wrong.append("store")
        state = {"status": "not ready" if wrong else "ok", "wrong": wrong}
        return JSONResponse(state, status_code=503 if wrong else 200)

    return [Route(HEALTHZ, healthz), Route(READYZ, readyz)]


@asynccontextmanager
async def serve_health(
    address: tuple[str, int] | None, store: Store | None = None, *, need: str = NATS
) -> AsyncIterator[ProcessHealth]:
    """Serve ``/healthz`` and ``/readyz`` of a worker or a writer while the block runs.

    Yield the ``ProcessHealth``, in which the process records its state.

    Args:
        address: host and port to listen on; None to listen nowhere.
        store: the store to check; None if the process has no store.
        need: the name of the process's main dependency, such as "nats". It counts as unavailable
            until the process sets its entry in ``needs`` of the yielded ``ProcessHealth``.

    Raises:
        ConfigError: the address is in use, belongs to another machine, or can't be resolved.
    """
    health = ProcessHealth(needs={need: lambda: False})
    if address is None:
        yield health
        return
    address = check_free(address)
    server = make_server(address, health_app(address, health, store))
    serving = asyncio.create_task(server.serve())
    try:
        await wait_until_open(address, serving)
    except BaseException:
        server.stop()  # type: ignore[no-untyped-call]
        raise  # without waiting for the server: its own error would replace this one
    try:
        yield health
    finally:
        server.stop()  # type: ignore[no-untyped-call]
        await wait_until_stopped(serving)


def health_app(address: tuple[str, int], health: ProcessHealth, store: Store | None) -> ASGIApp:
    """Return the ASGI application with the health checks of a worker or writer.

    The application also has ``/metrics`` if ``address`` can only be reached from this machine. From
    other machines, metrics would need a token. But this application has no TLS, so the token would
    cross the network in clear text. ``store`` is None if the process does not use the store.
    """
    routes = health_routes(store, health)
    if is_local_only(address[0]):
        routes.append(Route(METRICS, _metrics))
    return Router(routes)


async def _metrics(request: Request) -> Response:
    """Return the response to ``/metrics``: the Prometheus counters of this process.

    They contain no host names.
    """
    encode, media_type = choose_encoder(request.headers.get("accept", ""))
    page = encode(COUNTERS.registry)
    return Response(page, headers={"Content-Type": media_type, "Cache-Control": "no-store"})


class _StoreCheck:
    """Checks if the database responds. One check, in one thread, serves all requests.

    If each request started a check, clients could occupy many threads while the store hangs.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = asyncio.Lock()
        self._thread: asyncio.Future[None] | None = None
        self._checked_at = -math.inf
        self._available = False

    async def is_available(self) -> bool:
        """Return True if the store responded to a check within ``_TIMEOUT`` seconds.

        The result is reused for a second.
        """
        async with self._lock:
            if time.monotonic() - self._checked_at >= _FRESH:
                self._available = await self._check()
                self._checked_at = time.monotonic()
            return self._available

    def is_writable(self) -> bool:
        """Return False if this process recently failed to read or write the store, else True.

        This method does not access the store: the result comes from ``Store.health``.
        """
        return not self._store.health.reason

    async def _check(self) -> bool:
        """Check the store, and return True if it responded within ``_TIMEOUT`` seconds.

        If an earlier check still hangs, wait for it instead of starting another one.
        """
        if self._thread is None or self._thread.done():
            self._thread = asyncio.ensure_future(asyncio.to_thread(_try_store, self._store))
        try:
            async with asyncio.timeout(_TIMEOUT):
                await asyncio.shield(self._thread)
        except (CertpinError, SQLAlchemyError, TimeoutError):
            return False
        return True


def _try_store(store: Store) -> None:
    check_tables(store, int(time.time()))
