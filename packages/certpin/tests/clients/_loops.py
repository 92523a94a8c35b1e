"""Event loops that resolve ``*.test`` to 127.0.0.1, and ``run``, which closes all connections."""

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
    """A uvloop event loop that resolves ``*.test`` names to 127.0.0.1.

    uvloop resolves names in C, so a patched ``socket.getaddrinfo`` alone has no effect on it.
    """

    async def getaddrinfo(self, *args: Any, **kwargs: Any) -> Any:
        return getaddrinfo(*args, **kwargs)


def run(work: Callable[[], Coroutine[Any, Any, Any]], make_loop: Loop = AsyncioLoop) -> Any:
    """Run ``work()`` to its end in a new event loop, and return its result.

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
