"""Rule 3 in event loops: asyncio and uvloop, from the start, by upgrade, and TLS within TLS."""

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
    """Run a coroutine to its end in an event loop of this kind."""

    def _run(coroutine: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner(loop_factory=request.param) as runner:
            return runner.run(coroutine)

    return _run


async def _open(context: ssl.SSLContext, server: TLSServer) -> Any:
    """Connect, send, and read the answer with streams."""
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
    """Begin in clear text and upgrade to TLS, as STARTTLS does."""
    reader, writer = await asyncio.open_connection(*server.address)
    try:
        await writer.start_tls(context, server_hostname=HOST)
        return await _talk(reader, writer)
    finally:
        await _close(writer)


class _Eager(asyncio.Protocol):
    """A protocol that sends as soon as it can, and keeps the bytes that it receives."""

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
    """Connect with an asyncio protocol."""
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
    """Refused before the handshake begins, in which case asyncio leaves its socket unclosed."""
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
    """TLS with its records inside the application data of another connection."""

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
    """The same as through an ``https://`` proxy, which has a separate policy or none."""
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
