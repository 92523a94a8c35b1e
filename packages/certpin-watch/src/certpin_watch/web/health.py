"""Health and readiness, for whoever starts and routes to the service. They give nothing away.

They stand before the door, which asks the store who somebody is: it may be the store that is away.
"""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router

from certpin.errors import CertpinError
from certpin_watch.store.durability import try_out

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.types import ASGIApp

    from certpin_watch.store import Store
    from certpin_watch.watch import Watch

HEALTHZ, READYZ = "/healthz", "/readyz"
_PATIENCE = 5.0  # seconds until a store that does not answer is away
_FRESH = 1.0  # seconds for which an answer holds: whoever asks more often costs the store nothing


@dataclass
class Condition:
    """How the service is: written by whoever runs the parts, read by ``/readyz``.

    ``failing`` are the parts that ended with an error and have not run since. ``needs`` is what
    else it cannot work without, and whether that is there.
    """

    stopping: bool = False
    failing: set[str] = field(default_factory=set)
    needs: dict[str, Callable[[], bool]] = field(default_factory=dict)

    @property
    def lacking(self) -> list[str]:
        """What it needs that is not there now."""
        return [name for name, is_there in self.needs.items() if not is_there()]


def health(watch: Watch, condition: Condition) -> ASGIApp:
    """Both, of a service."""
    return Router(health_routes(watch.store, condition))


def health_routes(store: Store | None, condition: Condition) -> list[Route]:
    """``/healthz``: the loop turns. ``/readyz``: it can do its work; else 503, and what is not.

    A worker has no store.
    """
    asking = None if store is None else _Asking(store)

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_: Request) -> Response:
        wrong = [f"part {name}" for name in sorted(condition.failing)]
        if condition.stopping:
            wrong.append("stopping")
        wrong += condition.lacking
        if asking and not (await asking.answers() and asking.takes()):
            wrong.append("store")
        state = {"status": "not ready" if wrong else "ok", "wrong": wrong}
        return JSONResponse(state, status_code=503 if wrong else 200)

    return [Route(HEALTHZ, healthz), Route(READYZ, readyz)]


class _Asking:
    """Asks the store for everybody at once: anybody may ask, and a thread that hangs is one."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._turn = asyncio.Lock()
        self._thread: asyncio.Future[None] | None = None
        self._asked = -math.inf
        self._found = False

    async def answers(self) -> bool:
        """Whether the store does."""
        async with self._turn:
            if time.monotonic() - self._asked >= _FRESH:
                self._found = await self._look()
                self._asked = time.monotonic()
            return self._found

    def takes(self) -> bool:
        """Return True if nothing that the service read or wrote lately says otherwise."""
        return not self._store.trouble.reason

    async def _look(self) -> bool:
        """One that was asked before and has said nothing yet is waited for, and not asked again."""
        if self._thread is None or self._thread.done():
            self._thread = asyncio.ensure_future(asyncio.to_thread(_ask, self._store))
        try:
            async with asyncio.timeout(_PATIENCE):
                await asyncio.shield(self._thread)
        except (CertpinError, SQLAlchemyError, TimeoutError):
            return False
        return True


def _ask(store: Store) -> None:
    try_out(store, int(time.time()))
