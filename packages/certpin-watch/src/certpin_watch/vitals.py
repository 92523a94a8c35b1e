"""What a worker or a writer by itself says of its own health, where it is told to listen.

``/healthz`` and ``/readyz`` are for whoever begins it anew, a kubelet on another address included:
they have the words ``nats``, ``service`` and ``store``, and nothing else. ``/metrics`` is there on
this machine alone. There is no TLS here, and no door: a token would pass the network in clear text.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from prometheus_client.exposition import choose_encoder
from starlette.responses import Response
from starlette.routing import Route, Router

from certpin_watch.addresses import stays_here
from certpin_watch.metrics.counters import COUNTERS
from certpin_watch.port import check_free
from certpin_watch.web.health import Condition, health_routes
from certpin_watch.web.serving import ended, server_of, until_open

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.types import ASGIApp

    from certpin_watch.store import Store

NATS = "nats"  # what a writer cannot work without; a worker needs the service
METRICS = "/metrics"


@asynccontextmanager
async def answering(
    address: tuple[str, int] | None, store: Store | None = None, *, need: str = NATS
) -> AsyncIterator[Condition]:
    """Answer there for as long as the block runs; without an address, nowhere.

    ``need`` is what the process cannot work without. It is missing until the process puts another
    answer into the condition that this yields.

    Raises ``ConfigError`` where it cannot be listened on.
    """
    condition = Condition(needs={need: lambda: False})
    if address is None:
        yield condition
        return
    check_free(address)
    server = server_of(address, application(address, condition, store))
    serving = asyncio.create_task(server.serve())
    try:
        await until_open(address, serving)
        yield condition
    finally:
        server.stop()  # type: ignore[no-untyped-call]
        await ended(serving)


def application(address: tuple[str, int], condition: Condition, store: Store | None) -> ASGIApp:
    """What is answered to whoever reaches this address."""
    routes = health_routes(store, condition)
    if stays_here(address[0]):
        routes.append(Route(METRICS, _metrics))
    return Router(routes)


async def _metrics(request: Request) -> Response:
    """What this process has counted: no name of a host is in it."""
    encode, media_type = choose_encoder(request.headers.get("accept", ""))
    page = encode(COUNTERS.registry)
    return Response(page, headers={"Content-Type": media_type, "Cache-Control": "no-store"})
