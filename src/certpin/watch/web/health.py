"""Health and readiness, for whoever starts and routes to the service. They give nothing away.

They stand before the door, which asks the store who somebody is: it may be the store that is away.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router

from certpin.errors import CertpinError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp

    from certpin.watch.store import Store
    from certpin.watch.watch import Watch

HEALTHZ, READYZ = "/healthz", "/readyz"
_PATIENCE = 5.0  # seconds until a store that does not answer is away


@dataclass
class Condition:
    """How the service is: written by whoever runs the parts, read by ``/readyz``.

    ``failing`` are the parts that ended with an error and have not run since.
    """

    stopping: bool = False
    failing: set[str] = field(default_factory=set)


def health(watch: Watch, condition: Condition) -> ASGIApp:
    """``/healthz``: the loop turns. ``/readyz``: it can do its work; else 503, and what is not."""

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_: Request) -> Response:
        wrong = [f"part {name}" for name in sorted(condition.failing)]
        if condition.stopping:
            wrong.append("stopping")
        if not await _answers(watch.store):
            wrong.append("store")
        state = {"status": "not ready" if wrong else "ok", "wrong": wrong}
        return JSONResponse(state, status_code=503 if wrong else 200)

    return Router([Route(HEALTHZ, healthz), Route(READYZ, readyz)])


async def _answers(store: Store) -> bool:
    try:
        async with asyncio.timeout(_PATIENCE):
            await asyncio.to_thread(_ask, store)
    except (CertpinError, SQLAlchemyError, TimeoutError):
        return False
    return True


def _ask(store: Store) -> None:
    with store.read() as connection:
        connection.execute(text("SELECT 1"))
