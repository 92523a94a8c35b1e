"""Event loops that resolve the names of the tests, and leave nothing open."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import uvloop

from tests.clients._names import getaddrinfo

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    # Makes an event loop.
    Loop = Callable[[], Any]

AsyncioLoop = asyncio.SelectorEventLoop


class UvLoop(uvloop.Loop):
    """uvloop, which resolves names in C: here it resolves them as asyncio does."""

    async def getaddrinfo(self, *args: Any, **kwargs: Any) -> Any:
        return getaddrinfo(*args, **kwargs)


def run(work: Callable[[], Coroutine[Any, Any, Any]], make_loop: Loop = AsyncioLoop) -> Any:
    """Run a coroutine to its end, in a new event loop.

    Then abort open connections: aiohttp 3.11 closes TLS connections only later.
    """
    loop, opened = make_loop(), []
    connect = loop.create_connection

    async def create_connection(*args: Any, **kwargs: Any) -> Any:
        transport, protocol = await connect(*args, **kwargs)
        opened.append(transport)
        return transport, protocol

    async def drop() -> None:
        for transport in opened:
            transport.abort()

    loop.create_connection = create_connection
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        try:
            return runner.run(work())
        finally:
            runner.run(drop())
