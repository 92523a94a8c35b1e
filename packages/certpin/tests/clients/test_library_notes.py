"""Libraries that retry, drop or never notice a refusal, and the advice of python-clients.md."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import ssl
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import websockets
from websockets.client import process_exception

import certpin
from certpin import PinnedSSLContext
from certpin.clients.httpx import AsyncPinnedClient, PinnedClient
from certpin.lab.lab_server import server_context
from tests import kit
from tests.clients._examples import example, set_pins
from tests.clients._loops import run
from tests.documentation._blocks import blocks
from tests.servers._run import free_port
from tests.servers.nats import nats as nats_server
from tests.servers.nginx import nginx
from tests.servers.postgres import postgres
from tests.servers.websocket import websocket
from tests.tls._raw import Recorder
from tests.tls._servers import RecordingServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from certpin import PinFailure
    from certpin.lab import Authority, Identity

_PATIENCE = 20  # seconds
_PASSWORD = "correct horse"


class Shown(NamedTuple):
    """The certificate and key that a test's server presents, and their PEM files."""

    identity: Identity
    files: tuple[Path, Path]


@pytest.fixture
def shown(trusted_root: Path, intermediate: Authority, tmp_path: Path) -> Shown:
    identity = intermediate.issue("localhost")
    return Shown(identity, identity.write(tmp_path, "server"))


def other_pins(version: int = 1) -> certpin.PinSet:
    """Return a pin set that refuses the server."""
    return kit.pin_set(kit.policy("localhost"), version=version)


def refusing(*hooks: Any) -> PinnedSSLContext:
    return PinnedSSLContext(other_pins(), on_failure=hooks)


async def connect_nats(context: PinnedSSLContext, port: int, **options: Any) -> Any:
    """Connect with the code of the documentation."""
    import nats

    (code,) = (each.text for each in blocks("guides/python-clients.md") if "nats" in each.text)
    names: dict[str, Any] = {
        "asyncio": asyncio,
        "certpin": certpin,
        "contextlib": contextlib,
        "nats": nats,
    }
    exec(code, names)
    return await names["connect_nats"](context, "localhost", port, **options)


@pytest.mark.slow
def test_a_refusal_ends_the_connect_of_nats_that_would_wait_for_ever(shown: Shown) -> None:
    import nats

    async def work(port: int) -> None:
        with pytest.raises(certpin.PinMismatchError):
            await nats.connect(
                f"tls://localhost:{port}",
                tls=refusing(),
                tls_hostname="localhost",
                tls_handshake_first=True,
                allow_reconnect=False,
            )
        with pytest.raises(certpin.PinMismatchError):
            await connect_nats(refusing(), port)

    with nats_server(tls=shown.files) as server:
        asyncio.run(asyncio.wait_for(work(server.port), _PATIENCE))


@pytest.mark.slow
def test_a_refusal_after_a_lost_connection_closes_the_client_of_nats(shown: Shown) -> None:
    from nats.errors import ConnectionClosedError

    async def work() -> None:
        context = PinnedSSLContext(kit.pin_set(kit.policy("localhost", shown.identity.pin)))
        with nats_server(tls=shown.files) as server:
            client = await connect_nats(context, server.port, reconnect_time_wait=0.2)
            await client.flush()
            context.swap(other_pins(version=2))
        with nats_server(tls=shown.files, port=server.port):
            while not client.is_closed:  # noqa: ASYNC110  # closed_cb isn't called
                await asyncio.sleep(0.01)
            for use in (client.publish("greetings", b"hello"), client.flush()):
                with pytest.raises(ConnectionClosedError):
                    await use
            await client.close()
        assert isinstance(client.last_error, certpin.PinMismatchError)

    asyncio.run(asyncio.wait_for(work(), _PATIENCE))


@pytest.mark.peer("nginx")
@pytest.mark.filterwarnings("ignore:parameter 'timeout' of type 'float':DeprecationWarning")
def test_nats_over_wss_follows_redirects_to_clear_text_and_drops_refusals(
    shown: Shown, tmp_path: Path
) -> None:
    """The reason to use ``tls://`` only: the transport is a WebSocket of aiohttp."""
    from nats.aio.client import Client
    from nats.errors import NoServersError

    async def connect(context: PinnedSSLContext, port: int) -> None:
        client = Client()
        try:
            with pytest.raises(NoServersError) as caught:
                await client.connect(
                    f"wss://localhost:{port}",
                    tls=context,
                    tls_hostname="localhost",
                    allow_reconnect=False,
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0,
                )
            assert certpin.pin_error(caught.value) is None
        finally:
            transport: Any = client._transport
            await transport._client.close()

    pinned = PinnedSSLContext(kit.pin_set(kit.policy("localhost", shown.identity.pin)))
    with nginx({"localhost": shown.identity}) as target:
        away = f"return 302 http://localhost:{target.plain}/;"
        identities, folders = {"localhost": shown.identity}, {"localhost": tmp_path}
        with nginx(identities, folders=folders, lines=away) as server:
            run(lambda: connect(refusing(), server.port))
            assert target.arrived("in-clear-text") == []
            run(lambda: connect(pinned, server.port))
        assert "http HTTP/1.1 GET /" in target.arrived("in-clear-text")


def test_websockets_ends_its_loop_at_a_refusal_if_process_exception_says_so(shown: Shown) -> None:
    """The default takes each ``OSError`` as one of the network, and connects again for ever."""
    refusals: list[PinFailure] = []

    def fatal(error: Exception) -> Exception | None:
        return certpin.pin_error(error) or process_exception(error)

    async def work(port: int) -> None:
        connections: AsyncIterator[Any] = websockets.connect(
            f"wss://localhost:{port}/",
            ssl=refusing(refusals.append),
            process_exception=fatal,
            proxy=None,
        ).__aiter__()
        with pytest.raises(certpin.PinMismatchError) as caught:
            await anext(connections)
        assert process_exception(caught.value) is None

    with websocket(*shown.files) as port:
        asyncio.run(work(port))
    assert fatal(ValueError()) is not None
    assert fatal(ConnectionResetError()) is None


@pytest.mark.slow
def test_asyncpg_drops_the_refusal_of_all_hosts_but_the_last(shown: Shown) -> None:
    import asyncpg

    async def work(port: int) -> None:
        for ports in ([port, free_port()], [port]):
            with pytest.raises(OSError, match=r"refused|failed") as caught:
                await asyncpg.connect(
                    host=["localhost"] * len(ports),
                    port=ports,
                    user="postgres",
                    password=_PASSWORD,
                    ssl=refusing(),
                )
            assert (certpin.pin_error(caught.value) is None) == (len(ports) > 1)

    with postgres(*shown.files) as port:
        asyncio.run(work(port))


@pytest.mark.medium
def test_asyncpg_ignores_the_context_on_a_unix_socket(tmp_path: Path) -> None:
    """The reason to pass the host of a TCP connection: without ``host``, sockets are tried first.

    The server requests the password in clear text, as an attacker with a socket in ``/tmp`` would.
    """
    import asyncpg

    received = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.extend(await reader.read(4096))
        writer.write(b"R" + (8).to_bytes(4) + (3).to_bytes(4))  # AuthenticationCleartextPassword
        received.extend(await reader.read(4096))
        writer.close()

    async def work() -> None:
        async with await asyncio.start_unix_server(serve, tmp_path / ".s.PGSQL.5432"):
            with pytest.raises(Exception, match="closed") as caught:
                await asyncpg.connect(
                    host=str(tmp_path), user="ann", password=_PASSWORD, ssl=refusing()
                )
        assert certpin.pin_error(caught.value) is None

    asyncio.run(work())
    assert _PASSWORD.encode() in received


@pytest.mark.medium
def test_tornado_gets_a_client_with_pins_in_a_loop_that_has_another_one(
    shown: Shown, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without ``force_instance``, ``AsyncHTTPClient()`` returns one client per event loop."""
    from tornado.httpclient import AsyncHTTPClient

    async def work(port: int) -> None:
        plain = AsyncHTTPClient()
        assert AsyncHTTPClient(defaults={"ssl_options": refusing()}) is plain
        try:
            await example("tornado").fetch("localhost", port)
        finally:
            plain.close()

    set_pins(tmp_path, kit.NOBODY_ELSE, monkeypatch)
    with RecordingServer(server_context(shown.identity)) as server:
        with pytest.raises(certpin.PinMismatchError):
            asyncio.run(work(server.port))
        (recording,) = server.recordings()
    assert recording.application == b""


@pytest.mark.peer("nginx")
@pytest.mark.parametrize("pinned", [True, False])
def test_the_websocket_of_tornado_needs_the_context_in_its_request(
    pinned: bool, shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tornado import simple_httpclient
    from tornado.httpclient import AsyncHTTPClient, HTTPRequest
    from tornado.websocket import websocket_connect

    async def work(port: int) -> None:
        url = f"wss://localhost:{port}/"
        client = AsyncHTTPClient(defaults={"ssl_options": refusing()})
        try:
            await websocket_connect(HTTPRequest(url, ssl_options=refusing()) if pinned else url)
        finally:
            client.close()

    # tornado caches its context, and may have created it before the test's root was trusted.
    monkeypatch.setattr(simple_httpclient, "_client_ssl_defaults", ssl.create_default_context)
    with nginx({"localhost": shown.identity}) as server:
        with pytest.raises(Exception) as caught:  # noqa: PT011  # nginx answers with 200
            asyncio.run(work(server.port))
        assert server.arrived("localhost") == ([] if pinned else ["https HTTP/1.1 GET /"])
    assert isinstance(caught.value, certpin.PinMismatchError) == pinned


def websocket_resources() -> dict[str, dict[str, str]]:
    """Return each resource of the OpenAI SDK that opens WebSockets, such as ``live.forks``.

    The values are the arguments that its ``connect`` requires.
    """
    from openai import OpenAI
    from openai._resource import SyncAPIResource

    found: dict[str, dict[str, str]] = {}

    def search(owner: object, path: str) -> None:
        for name in dir(type(owner)):
            value = None if name.startswith("_") else getattr(owner, name)
            if isinstance(value, SyncAPIResource):
                add(value, path + name)

    def add(resource: Any, name: str) -> None:
        search(resource, name + ".")
        connect = getattr(resource, "connect", None)
        parameters = {} if connect is None else inspect.signature(connect).parameters
        if "websocket_connection_options" in parameters:
            found[name] = {
                each.name: "some"
                for each in parameters.values()
                if each.default is each.empty or each.name == "model"  # which realtime requires
            }

    with OpenAI(base_url="https://localhost/", api_key=_PASSWORD) as client:
        search(client, "")
    return found


def open_websocket(
    resource: str, url: str, context: PinnedSSLContext, options: dict[str, Any], **needed: str
) -> None:
    """Open a WebSocket of the OpenAI SDK, with the recipe's pinned client for HTTP."""
    from openai import OpenAI

    http_client: Any = PinnedClient(context)
    with (
        OpenAI(base_url=url, api_key=_PASSWORD, http_client=http_client) as client,
        attrgetter(resource)(client).connect(websocket_connection_options=options, **needed),
    ):
        pass


def open_async_websocket(
    resource: str, url: str, context: PinnedSSLContext, options: dict[str, Any], **needed: str
) -> None:
    from openai import AsyncOpenAI

    http_client: Any = AsyncPinnedClient(context)

    async def work() -> None:
        async with (
            AsyncOpenAI(base_url=url, api_key=_PASSWORD, http_client=http_client) as client,
            attrgetter(resource)(client).connect(websocket_connection_options=options, **needed),
        ):
            pass

    run(work)


@pytest.mark.peer("nginx")
@pytest.mark.parametrize("connect", [open_websocket, open_async_websocket])
def test_every_websocket_of_openai_needs_the_context_in_its_options(
    connect: Callable[..., None],
    shown: Shown,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It goes through the package websockets, and not through ``http_client``."""
    context, resources = refusing(), websocket_resources()
    assert resources.keys() >= {"realtime", "realtime.translations", "responses", "live.forks"}
    with nginx({"localhost": shown.identity}) as server:
        url = f"https://localhost:{server.port}/v1"
        for resource, needed in resources.items():
            with pytest.raises(certpin.PinMismatchError):
                connect(resource, url, context, {"ssl": context}, **needed)
        # The default context of websockets then refuses the chain, before it sends anything.
        monkeypatch.setenv("SSL_CERT_FILE", os.devnull)
        for resource, needed in resources.items():
            with pytest.raises(ssl.SSLCertVerificationError) as caught:
                connect(resource, url, context, {}, **needed)
            assert certpin.pin_error(caught.value) is None
        assert server.arrived("localhost") == []


@pytest.mark.peer("nginx")
def test_openai_fetches_the_token_of_a_workload_without_its_http_client(shown: Shown) -> None:
    from openai import OpenAI, OpenAIError

    http_client: Any = PinnedClient(refusing())
    identity: Any = {
        "identity_provider_id": "bank",
        "service_account_id": "app",
        "provider": {"token_type": "jwt", "get_token": lambda: _PASSWORD},
    }
    with (
        nginx({"localhost": shown.identity}) as server,
        OpenAI(
            base_url=f"https://localhost:{server.port}/v1",
            workload_identity=identity,
            http_client=http_client,
            max_retries=0,
        ) as client,
    ):
        exchange: Any = client._workload_identity_auth
        exchange.token_exchange_url = f"https://localhost:{server.port}/token"
        with pytest.raises(OpenAIError):
            client.models.list()
        assert server.arrived("localhost") == ["https HTTP/1.1 POST /token"]


def test_start_tls_of_asyncio_needs_the_name_of_the_server(shown: Shown) -> None:
    async def upgrade(context: PinnedSSLContext, port: int, **options: Any) -> Any:
        _, writer = await asyncio.open_connection("localhost", port)
        try:
            await writer.start_tls(context, **options)
            return certpin.assert_pinned(writer, "localhost")
        finally:
            writer.transport.abort()

    pinned = PinnedSSLContext(kit.pin_set(kit.policy("localhost", shown.identity.pin)))
    with RecordingServer(server_context(shown.identity)) as server:
        with pytest.raises(certpin.PinError, match="no server name"):
            asyncio.run(upgrade(pinned, server.port))
        verdict = asyncio.run(upgrade(pinned, server.port, server_hostname="localhost"))
    assert verdict.reason == "match"


def test_the_code_for_asyncio_refuses_data_that_came_before_tls(shown: Shown) -> None:
    (code,) = (each.text for each in blocks("guides/python-clients.md") if "drain" in each.text)
    names: dict[str, Any] = {}
    exec(code, names)

    async def upgrade(port: int, command: bytes = b"") -> Any:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            if command:
                writer.write(command)
                assert await reader.readline() == b"220 go\r\n"
            await names["begin_tls"](reader, writer, pinned, "localhost")
            return certpin.assert_pinned(writer, "localhost")
        finally:
            writer.transport.abort()

    pinned = PinnedSSLContext(kit.pin_set(kit.policy("localhost", shown.identity.pin)))
    with Recorder(b"220 go\r\n250 injected\r\n") as attacker:
        with pytest.raises(ConnectionError, match="before TLS"):
            asyncio.run(upgrade(attacker.address[1], b"STARTTLS\r\n"))
        attacker.wait()
        assert attacker.heard == b"STARTTLS\r\n"
    with RecordingServer(server_context(shown.identity)) as server:
        assert asyncio.run(upgrade(server.port)).reason == "match"
