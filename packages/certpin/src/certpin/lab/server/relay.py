"""Relay connections that are not under test to their real servers, byte for byte."""

from __future__ import annotations

import asyncio
import ipaddress
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from certpin.lab.server.conversation import Conversation
    from certpin.lab.server.session import Destination

    _Ends = tuple["Reader", "Writer"]


_PIECE = 64 * 1024
_PATIENCE = 10.0  # seconds to connect to the real server
UPSTREAM = "upstream"  # the ``via`` of a relay to the real server of a host under test
# Seconds that such a connection may be idle after its answer. Then it is closed, as servers do: a
# client that kept it open would meet no other case.
_QUIET = 5.0


class Reader(Protocol):
    """The reading side of a connection: an asyncio stream, or a stream of the WireGuard tunnel."""

    async def read(self, n: int, /) -> bytes:
        """Return the bytes that arrive next, at most ``n``; empty at the end of the stream."""


class Writer(Protocol):
    """The writing side of a connection: an asyncio stream, or a stream of the WireGuard tunnel."""

    def write(self, data: bytes, /) -> None:
        """Queue bytes to send."""

    async def drain(self) -> None:
        """Wait until the buffer has room for more bytes."""

    def write_eof(self) -> None:
        """Close the writing direction of the connection. Reading is still possible."""

    def close(self) -> None:
        """Close both directions of the connection."""

    async def wait_closed(self) -> None:
        """Wait until the stream is closed."""

    def get_extra_info(self, name: str, /) -> Any:
        """Return information about the transport by its name, as asyncio does."""


# The loop keeps only weak references to tasks.
_running: set[asyncio.Task[None]] = set()


def relay(
    loop: asyncio.AbstractEventLoop,
    sock: socket.socket,
    conversation: Conversation,
    to: Destination,
    *,
    allow: Callable[[str], bool] = lambda _: True,
) -> asyncio.Task[None]:
    """Start to relay between a client and the server that it requested, until both have closed.

    Args:
        loop: the event loop of the lab. Call this function in the loop's thread.
        sock: the client's socket. It is closed at the end.
        conversation: the protocol state machine of the connection, which records evidence. It gets
            a copy of the relayed bytes.
        to: the requested server.
        allow: returns False for an IP address that the client must not reach. It is not called for
            a server that the lab itself chose.

    Returns:
        The task of the relay. Cancel it to end the relay.
    """
    task = loop.create_task(_relay(sock, conversation, to, allow))
    _running.add(task)
    task.add_done_callback(_running.discard)
    task.add_done_callback(lambda _: sock.close())  # also if it was cancelled before it began
    return task


async def _relay(
    sock: socket.socket, conversation: Conversation, to: Destination, allow: Callable[[str], bool]
) -> None:
    near = await asyncio.open_connection(sock=sock)
    try:
        await pass_through(near, conversation, to, allow)
    finally:
        await _end(near[1])


async def pass_through(
    near: _Ends, conversation: Conversation, to: Destination, allow: Callable[[str], bool]
) -> None:
    """Relay a client's stream to the requested server, until both directions end.

    Return at once if the server can't be reached or must not be. The caller closes the client's
    stream.

    Args:
        near: the client's stream.
        conversation: the protocol state machine of the connection, which records evidence. It gets
            a copy of the relayed bytes.
        to: the requested server.
        allow: returns False for an IP address that the client must not reach.
    """
    far = await _dial(to, allow)
    if far:
        await _join(near, far, conversation, _QUIET if to.via == UPSTREAM else None)


async def _dial(to: Destination, allow: Callable[[str], bool]) -> _Ends | None:
    """Connect to the server ``to``, and return the streams to read from it and to write to it.

    Return ``None`` if the server is unreachable, or ``allow`` returns False for its address.
    """
    try:
        async with asyncio.timeout(_PATIENCE):
            far = await asyncio.open_connection(to.host, to.port)
    except (OSError, ValueError):  # ValueError: an invalid name
        return None
    peer = far[1].get_extra_info("peername")
    if peer and (to.via == UPSTREAM or allow(peer[0])):
        return far
    await _end(far[1])
    return None


def is_local(address: str) -> bool:
    """Return True for loopback, link-local, multicast and unspecified IP addresses.

    A device under test must not reach these addresses: they belong to this machine, or to its
    network, such as the metadata service of a cloud.
    """
    found = parse_address(address)
    return found.is_loopback or found.is_link_local or found.is_unspecified or found.is_multicast


def parse_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Parse an IP address. The zone of an IPv6 address, such as ``%eth0``, is ignored.

    An IPv4-mapped IPv6 address (``::ffff:…``) is returned as IPv4.

    Raises:
        ValueError: the text is not an IP address.
    """
    found = ipaddress.ip_address(text.partition("%")[0])
    return getattr(found, "ipv4_mapped", None) or found


async def _join(near: _Ends, far: _Ends, conversation: Conversation, quiet: float | None) -> None:
    """Relay bytes between client and server in both directions, until both end or one fails.

    The server's stream is closed at the end, and the caller closes the client's. A failure is not
    raised.

    Args:
        near: the client's streams.
        far: the server's streams.
        conversation: the protocol state machine of the connection, which records evidence. It gets
            a copy of the relayed bytes.
        quiet: the longest time in seconds for which the client can be idle after an answer; None
            for no limit.
    """
    try:
        far[1].write(conversation.early)
        async with asyncio.timeout(None) as limit, asyncio.TaskGroup() as group:
            hear = partial(_hear, conversation, limit, quiet)
            group.create_task(_pump(near[0], far[1], partial(hear, back=False)))
            group.create_task(_pump(far[0], near[1], partial(hear, back=True)))
    except* OSError:  # TimeoutError is one
        pass
    finally:
        await _end(far[1])


def _hear(
    conversation: Conversation,
    limit: asyncio.Timeout,
    quiet: float | None,
    data: bytes,
    *,
    back: bool,
) -> None:
    conversation.passed(data, back=back)
    waits = back and quiet is not None
    if limit.expired():
        return
    limit.reschedule(asyncio.get_running_loop().time() + (quiet or 0) if waits else None)


async def _pump(reader: Reader, writer: Writer, hear: Callable[[bytes], None]) -> None:
    while data := await _read(reader, hear):
        writer.write(data)
        await writer.drain()
    writer.write_eof()  # the other direction may continue


async def _read(reader: Reader, hear: Callable[[bytes], None]) -> bytes:
    """Read the bytes that arrive next, and return them; empty at the end of the stream.

    ``reader`` is the reading side of a connection. ``hear`` gets the bytes too, to record them as
    evidence. If reading fails, it gets empty bytes, and the ``OSError`` is raised.
    """
    try:
        data = await reader.read(_PIECE)
    except OSError:
        hear(b"")
        raise
    hear(data)
    return data


async def _end(writer: Writer) -> None:
    task = asyncio.current_task()
    if task and task.cancelling() and isinstance(writer, asyncio.StreamWriter):
        writer.transport.abort()  # a peer that no longer reads would be waited for
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
