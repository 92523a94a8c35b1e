"""Rule 14: ``assert_pinned`` accepts only connections that were checked."""

from __future__ import annotations

import asyncio
import http.client
import socket
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Any, assert_type

import aiohttp
import httpx
import pytest
import urllib3
import uvloop

from certpin import (
    HostError,
    PinMismatchError,
    PinnedSSLContext,
    UncheckedConnectionError,
    UnpinnedHostError,
    Verdict,
    assert_pinned,
)
from certpin.lab.lab_server import server_context
from tests.tls._servers import RecordingServer
from tests.tls._wire import HOST, OTHER, Wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.tls.conftest import World

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


@pytest.fixture
def server(world: World) -> Iterator[RecordingServer]:
    with RecordingServer(server_context(world.good), greeting=_ANSWER) as running:
        yield running


def test_a_checked_socket_passes_with_its_verdict(world: World, server: RecordingServer) -> None:
    with world.context().wrap_socket(server.connect(), server_hostname=HOST) as tls:
        verdict = assert_pinned(tls, HOST.upper() + ".")
        assert verdict.reason == "match"
        assert assert_pinned(tls) is verdict


def test_type_checkers_know_the_facts_of_a_connection(
    world: World, server: RecordingServer
) -> None:
    """Code of the documentation passes ``mypy --strict``, which ``make lint`` runs on this file."""
    context = world.context()
    with context.wrap_socket(server.connect(), server_hostname=HOST) as tls:
        assert assert_type(tls.pin_checked, bool)
        assert assert_type(tls.pin_verdict, Verdict | None) is not None
        assert assert_type(assert_pinned(tls, HOST), Verdict).reason == "match"
        assert assert_type(assert_pinned(tls, strict=False), Verdict | None) is not None
    incoming = outgoing = ssl.MemoryBIO()
    made = context.wrap_bio(incoming, outgoing, server_hostname=HOST)
    assert assert_type(made.pin_checked, bool) is False


def test_a_checked_object_passes(world: World) -> None:
    wire = Wire(world.context(), server_context(world.good)).shake()
    assert wire.client.pin_checked
    assert assert_pinned(wire.client, HOST) is wire.client.pin_verdict


def test_before_the_handshake_it_is_not_checked_yet(world: World) -> None:
    wire = Wire(world.context(), server_context(world.good))
    assert not wire.client.pin_checked
    with pytest.raises(UncheckedConnectionError, match=f"^{HOST} refused: .* not checked yet"):
        assert_pinned(wire.client)


def test_a_socket_that_did_not_connect_is_not_checked(world: World) -> None:
    with (
        socket.socket() as sock,
        world.context().wrap_socket(sock, server_hostname=HOST) as tls,
        pytest.raises(UncheckedConnectionError, match="not TLS of a PinnedSSLContext") as caught,
    ):
        assert_pinned(tls)
    assert str(caught.value).startswith("this connection is not pinned: ")
    assert "it may be closed already" in str(caught.value)


def test_no_policy_and_not_checked_are_different_errors(world: World) -> None:
    context = PinnedSSLContext(world.pins(), strict=False)
    wire = Wire(context, server_context(world.good), OTHER)
    with pytest.raises(UncheckedConnectionError):
        assert_pinned(wire.client, strict=False)
    wire.shake()
    assert wire.client.pin_checked
    assert wire.client.pin_verdict is None
    with pytest.raises(UnpinnedHostError, match=f"^{OTHER} refused") as caught:
        assert_pinned(wire.client)
    assert caught.value.host == OTHER
    assert assert_pinned(wire.client, strict=False) is None


def test_a_check_for_another_host_is_not_enough(world: World) -> None:
    wire = Wire(world.context(), server_context(world.good)).shake()
    with pytest.raises(UncheckedConnectionError, match=f"was checked for {HOST}") as caught:
        assert_pinned(wire.client, OTHER)
    assert caught.value.host == OTHER
    with pytest.raises(HostError):
        assert_pinned(wire.client, "")


def test_a_refused_connection_raises_its_refusal(world: World) -> None:
    wire = Wire(world.context(), server_context(world.evil))
    with pytest.raises(PinMismatchError):
        wire.shake()
    assert not wire.client.pin_checked
    with pytest.raises(PinMismatchError):
        assert_pinned(wire.client)


def test_a_connection_is_not_pinned_after_tls_was_closed(
    world: World, server: RecordingServer
) -> None:
    with world.context().wrap_socket(server.connect(), server_hostname=HOST) as tls:
        tls.recv(len(_ANSWER))
        tls.shutdown(socket.SHUT_WR)
        with pytest.raises(UncheckedConnectionError, match="TLS was closed"):
            assert_pinned(tls)


def test_an_object_is_not_pinned_from_the_begin_of_its_closing(world: World) -> None:
    wire = Wire(world.context(), server_context(world.good))
    with pytest.raises(ssl.SSLError, match="before the pins were checked"):
        wire.client.unwrap()
    wire.shake()
    with suppress(ssl.SSLWantReadError):
        wire.client.read(1)  # the tickets
    assert assert_pinned(wire.client) is not None
    with pytest.raises(ssl.SSLWantReadError):  # the server has not confirmed
        wire.client.unwrap()
    with pytest.raises(UncheckedConnectionError, match="TLS was closed"):
        assert_pinned(wire.client)
    wire.server.unwrap()
    wire.client.unwrap()
    with pytest.raises(UncheckedConnectionError, match="TLS was closed"):
        assert_pinned(wire.client)
    assert wire.client.pin_checked


@pytest.mark.medium
@pytest.mark.parametrize(
    "loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)
@pytest.mark.parametrize("end", ["close", "abort"])
def test_a_connection_of_asyncio_is_not_pinned_after_it_was_closed(
    world: World, server: RecordingServer, loop: Any, end: str
) -> None:
    async def run() -> None:
        reader, writer = await asyncio.open_connection(
            *server.address, ssl=world.context(), server_hostname=HOST
        )
        await reader.readexactly(len(_ANSWER))
        transport, tls = writer.transport, writer.get_extra_info("ssl_object")
        assert assert_pinned(writer, HOST) is assert_pinned(tls, HOST)
        getattr(transport, end)()
        for connection in (writer, transport):
            with pytest.raises(UncheckedConnectionError, match=r"is closed\n  fix: connect again"):
                assert_pinned(connection, HOST)
        with suppress(OSError):
            await writer.wait_closed()
        closed = (writer, transport, tls) if end == "close" else (writer, transport)
        for connection in closed:
            with pytest.raises(UncheckedConnectionError, match="closed"):
                assert_pinned(connection, HOST)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run())


def _own_object(world: World, server: RecordingServer) -> object:
    plain = ssl.create_default_context()
    return plain.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=HOST)


def _own_socket(world: World, server: RecordingServer) -> object:
    plain = ssl.create_default_context()
    return plain.wrap_socket(server.connect(), server_hostname=HOST)


def _clear_text(world: World, server: RecordingServer) -> object:
    return server.connect()


@pytest.mark.parametrize("make", [_own_object, _own_socket, _clear_text])
def test_tls_of_another_context_is_not_pinned(
    make: Any, world: World, server: RecordingServer
) -> None:
    made = make(world, server)
    try:
        with pytest.raises(UncheckedConnectionError, match=type(made).__name__):
            assert_pinned(made)
    finally:
        with suppress(AttributeError):
            made.close()


@pytest.mark.parametrize("other", [None, object(), ssl.create_default_context(), "bank"])
def test_other_objects_are_rejected(other: object) -> None:
    with pytest.raises(UncheckedConnectionError):
        assert_pinned(other)


def test_a_cycle_of_objects_is_rejected() -> None:
    one, two = http.client.HTTPConnection("a.test"), http.client.HTTPConnection("b.test")
    one.sock, two.sock = two, one
    with pytest.raises(UncheckedConnectionError):
        assert_pinned(one)


def _contexts(world: World) -> list[tuple[ssl.SSLContext, bool]]:
    plain = ssl.create_default_context()
    plain.load_verify_locations(cadata=world.root.pem.decode())
    return [(world.context(), True), (plain, False)]


def _judge(connection: object, pinned: bool) -> None:
    if pinned:
        assert assert_pinned(connection, HOST) is not None
    else:
        with pytest.raises(UncheckedConnectionError):
            assert_pinned(connection, HOST)


def test_connections_of_http_client_and_urllib3(world: World, server: RecordingServer) -> None:
    for context, pinned in _contexts(world):
        stdlib = http.client.HTTPSConnection(HOST, server.port, context=context)
        stdlib._create_connection = lambda *_: server.connect()  # type: ignore[attr-defined]
        theirs = urllib3.connection.HTTPSConnection(
            "127.0.0.1", server.port, ssl_context=context, server_hostname=HOST
        )
        for connection in (stdlib, theirs):
            connection.connect()
            _judge(connection, pinned)
            connection.close()


def test_connections_of_httpx_and_httpcore(world: World, server: RecordingServer) -> None:
    url = f"https://127.0.0.1:{server.port}/"
    for context, pinned in _contexts(world):
        with (
            httpx.Client(verify=context, trust_env=False) as client,
            client.stream("GET", url, extensions={"sni_hostname": HOST}) as response,
        ):
            _judge(response.extensions["network_stream"], pinned)
            (connection,) = client._transport._pool.connections  # type: ignore[attr-defined]
            _judge(connection, pinned)


@pytest.mark.medium
def test_connections_of_aiohttp_and_asyncio(world: World) -> None:
    async def run(server: RecordingServer, context: ssl.SSLContext, pinned: bool) -> None:
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session,
            session.get(f"https://127.0.0.1:{server.port}/", server_hostname=HOST) as response,
        ):
            connection = response.connection  # there is one, because the answer hasn't ended
            assert connection is not None
            _judge(connection, pinned)
            # Without it, TLS may still be closing when the loop ends.
            assert connection.transport is not None
            connection.transport.abort()
        _, writer = await asyncio.open_connection(
            *server.address, ssl=context, server_hostname=HOST
        )
        _judge(writer, pinned)
        _judge(writer.transport, pinned)
        writer.transport.abort()

    with RecordingServer(server_context(world.good), greeting=_ANSWER[:-1]) as serving:
        for context, pinned in _contexts(world):
            asyncio.run(run(serving, context, pinned))


def test_tls_inside_tls_is_judged_by_the_inner_connection(
    world: World, server: RecordingServer
) -> None:
    plain, pinned = ssl.create_default_context(), world.context()
    plain.load_verify_locations(cadata=world.root.pem.decode())
    with pinned.wrap_socket(server.connect(), server_hostname=HOST) as to_proxy:
        inner = urllib3.util.ssltransport.SSLTransport.__new__(
            urllib3.util.ssltransport.SSLTransport
        )
        inner.socket = to_proxy
        wire = Wire(plain, server_context(world.good)).shake()
        inner.sslobj = wire.client
        _judge(inner, pinned=False)
        inner.sslobj = Wire(pinned, server_context(world.good)).shake().client
        _judge(inner, pinned=True)
