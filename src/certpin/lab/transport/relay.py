"""Connections that are not under test: passed through, byte for byte."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

    from certpin.lab.transport.conversation import Conversation
    from certpin.lab.transport.front import Reached

_PIECE = 64 * 1024
_PATIENCE = 10.0  # seconds to connect to the real server

# The loop keeps only weak references to tasks.
_running: set[asyncio.Task[None]] = set()


def relay(
    loop: asyncio.AbstractEventLoop, sock: socket.socket, conversation: Conversation, to: Reached
) -> None:
    """Join a client's socket to the server that it asked for, until one of them ends."""
    task = loop.create_task(_relay(sock, getattr(conversation, "early", b""), to))
    _running.add(task)
    task.add_done_callback(_running.discard)


async def _relay(sock: socket.socket, early: bytes, to: Reached) -> None:
    reader, writer = await asyncio.open_connection(sock=sock)
    try:
        async with asyncio.timeout(_PATIENCE):
            far_reader, far_writer = await asyncio.open_connection(to.host, to.port)
    except (OSError, TimeoutError):
        writer.close()
        return
    far_writer.write(early)
    await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(_PIECE):
            writer.write(data)
            await writer.drain()
    with suppress(OSError):
        writer.close()
        await writer.wait_closed()
