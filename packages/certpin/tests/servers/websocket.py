"""A real WebSocket server of the package websockets, which sends each message back."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING

from tests.servers._run import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from websockets.asyncio.server import ServerConnection


@contextlib.contextmanager
def websocket(certificate: Path, key: Path) -> Iterator[int]:
    """Run a WebSocket server with this certificate and key (PEM), and yield its port."""
    from websockets.asyncio.server import serve

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    ready = Future[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]]()

    async def run() -> None:
        end = asyncio.Event()
        async with serve(_echo, LOOPBACK, 0, ssl=context) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            ready.set_result((port, asyncio.get_running_loop(), end))
            await end.wait()

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    port, loop, end = ready.result(timeout=10)
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join()


async def _echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)
