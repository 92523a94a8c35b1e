"""Rule 3 (the pin check precedes the first application byte) in asyncio and uvloop.

The connections use TLS from the start, after an upgrade, and within another TLS connection.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
import uvloop

from certpin import (
    PinError,
    PinMismatchError,
    PinnedSSLContext,
    UnpinnedHostError,
    WeakenedContextError,
)
from certpin.lab.lab_server import server_context
from tests.tls._raw import CANARY, LOOPBACK, Recorder, TLSServer
from tests.tls._wire import HOST, Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from tests.tls.conftest import World


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Return a function that runs a coroutine to its end, in a loop of asyncio or of uvloop."""

    def _run(coroutine: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner(loop_factory=request.param) as runner:
            return runner.run(coroutine)

    return _run


async def _open(context: ssl.SSLContext, server: TLSServer) -> Any:
    """Exchange data with a server through asyncio streams, and return the pin verdict."""
    reader, writer = await asyncio.open_connection(
        *server.address, ssl=context, server_hostname=HOST
    )
    return await _talk(reader, writer)


async def _talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Any:
    try:
        writer.write(CANARY)
        await writer.drain()
        assert await reader.readexactly(5) == b"hello"
        return writer.get_extra_info("ssl_object").pin_verdict
    finally:
        await _close(writer)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


async def _upgrade(context: ssl.SSLContext, server: TLSServer | Recorder) -> Any:
    """Connect in clear text, upgrade to TLS as STARTTLS does, and return the pin verdict."""
    reader, writer = await asyncio.open_connection(*server.address)
    try:
        await writer.start_tls(context, server_hostname=HOST)
        return await _talk(reader, writer)
    finally:
        await _close(writer)


class _Eager(asyncio.Protocol):
    """An asyncio protocol that sends data once it is connected, and closes after the reply.

    It keeps the pin verdict on the connection.
    """

    def __init__(self) -> None:
        self.ended: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.verdict: Any = None

    def connection_made(self, transport: Any) -> None:
        self.verdict = transport.get_extra_info("ssl_object").pin_verdict
        self._transport = transport
        self._transport.write(CANARY)

    def data_received(self, data: bytes) -> None:
        self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set_result(b"")


async def _protocol(context: ssl.SSLContext, server: TLSServer) -> Any:
    """Exchange data with a server through an asyncio protocol, and return the pin verdict."""
    loop = asyncio.get_running_loop()
    _, protocol = await loop.create_connection(
        _Eager, *server.address, ssl=context, server_hostname=HOST
    )
    await protocol.ended
    return protocol.verdict


WAYS = pytest.mark.parametrize("connect", [_open, _upgrade, _protocol])


@pytest.mark.medium
@WAYS
def test_a_pinned_server_is_reached(world: World, run: Any, connect: Any) -> None:
    with TLSServer(server_context(world.good)) as server:
        assert run(connect(world.context(), server)).reason == "match"
        server.wait()
    assert [visit.heard for visit in server.visits] == [CANARY]


@WAYS
@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_man_in_the_middle_gets_no_byte(
    world: World, run: Any, connect: Any, newest: ssl.TLSVersion
) -> None:
    evil = server_context(world.evil)
    evil.maximum_version = newest
    with TLSServer(evil) as server:
        with pytest.raises(PinMismatchError) as refusal:
            run(connect(world.context(), server))
        server.wait()
    assert refusal.value.host == HOST
    assert [visit.heard for visit in server.visits] == [b""]


async def _refused_at_once(context: ssl.SSLContext, server: Recorder, host: str) -> None:
    """Connect to a host that the context refuses before the handshake begins.

    asyncio leaves its socket unclosed in this case, so this function opens and closes the socket.
    """
    if isinstance(asyncio.get_running_loop(), uvloop.Loop):
        await asyncio.open_connection(*server.address, ssl=context, server_hostname=host)
    with server.dial() as sock:
        sock.setblocking(False)
        await asyncio.open_connection(sock=sock, ssl=context, server_hostname=host)


def test_a_weakened_context_sends_no_hello(world: World, run: Any) -> None:
    context = world.context()
    context.check_hostname = False
    with Recorder() as server:
        with pytest.raises(WeakenedContextError):
            run(_refused_at_once(context, server, HOST))
        with pytest.raises(WeakenedContextError):
            run(_upgrade(context, server))
        server.wait(2)
    assert not server.heard


def test_an_ip_address_does_not_match_the_policy_of_a_name(world: World, run: Any) -> None:
    with Recorder() as server:
        with pytest.raises(UnpinnedHostError) as refusal:
            run(_refused_at_once(world.context(), server, LOOPBACK))
        server.wait()
    assert refusal.value.host == LOOPBACK
    assert not server.heard


def test_junk_during_the_handshake_raises_an_ssl_error(world: World, run: Any) -> None:
    with Recorder(b"HTTP/1.1 400 Bad Request\r\n\r\n") as server:
        with pytest.raises(ssl.SSLError) as failure:
            run(_upgrade(world.context(), server))
        server.wait()
    assert not isinstance(failure.value, PinError)
    assert CANARY not in server.heard


class _Inside:
    """A TLS connection whose records are the application data of another TLS connection."""

    def __init__(self, outer: Wire, client: ssl.SSLContext, server: ssl.SSLContext) -> None:
        self.outer, self.inner = outer, Wire(client, server)

    def shake(self) -> None:
        for _ in range(4):
            with suppress(ssl.SSLWantReadError):
                self.inner.client.do_handshake()
            self._carry(self.inner.to_server, self.outer.client, self.outer.server)
            with suppress(ssl.SSLWantReadError):
                self.inner.server.do_handshake()
            self._carry(self.inner.to_client, self.outer.server, self.outer.client)

    def _carry(self, records: ssl.MemoryBIO, sender: Any, receiver: Any) -> None:
        if data := records.read():
            sender.write(data)
            records.write(receiver.read(len(data)))


@pytest.mark.parametrize("inner", ["good", "evil"])
def test_tls_within_tls_is_checked_for_the_inner_host(world: World, inner: str) -> None:
    """The outer connection is to a proxy without a policy; the inner host has pins.

    The inner handshake is refused if the inner server has an unpinned key.
    """
    proxy = world.intermediate.issue("proxy.test")
    lenient = PinnedSSLContext(world.pins(), strict=False)
    outer = Wire(lenient, server_context(proxy), "proxy.test").shake()
    tunnel = _Inside(outer, world.context(), server_context(getattr(world, inner)))
    if inner == "good":
        tunnel.shake()
        assert tunnel.inner.client.pin_verdict.reason == "match"
    else:
        with pytest.raises(PinMismatchError):
            tunnel.shake()
        assert tunnel.inner.to_server.pending == 0
