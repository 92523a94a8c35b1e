"""Options and errors of the clients for httpx and httpx2."""

from __future__ import annotations

import asyncio
import queue
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, nullcontext
from typing import TYPE_CHECKING, Any

import httpx
import httpx2
import pytest

import certpin
from certpin.clients import httpx as pinned_httpx
from certpin.clients import httpx2 as pinned_httpx2
from certpin.clients._httpx_base import _KeptConnection
from certpin.lab.lab_server import server_context
from tests import kit
from tests.clients._cancelling import cancelled_in_step
from tests.servers.tap import tunnel
from tests.tls._servers import RecordingServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from certpin import PinFailure, PinnedSSLContext, PinSet
    from certpin.lab import Authority
    from tests.clients.conftest import Bank

pytestmark = pytest.mark.peer("nginx")

# The library, and certpin's module for it.
of_each_library = pytest.mark.parametrize(
    ("library", "pinned"),
    [(httpx, pinned_httpx), (httpx2, pinned_httpx2)],
    ids=["httpx", "httpx2"],
)
KINDS = ["PinnedClient", "AsyncPinnedClient", "PinnedTransport", "AsyncPinnedTransport"]


@of_each_library
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("option", [{"verify": False}, {"verify": True}, {"cert": "client.pem"}])
def test_options_about_tls_are_refused(
    library: Any, pinned: Any, kind: str, option: dict[str, object], bank: Bank
) -> None:
    with pytest.raises(certpin.ConfigError, match="only the pinned context"):
        getattr(pinned, kind)(bank.pins, **option)


@of_each_library
def test_a_client_sends_only_through_pinned_transports(
    library: Any, pinned: Any, bank: Bank
) -> None:
    with library.HTTPTransport(verify=False) as transport:
        with pytest.raises(certpin.ConfigError, match=r"transport.*\n.*use PinnedTransport"):
            pinned.PinnedClient(bank.pins, transport=transport)
        with pytest.raises(certpin.ConfigError, match="mounts"):
            pinned.PinnedClient(bank.pins, mounts={"https://": transport})


@of_each_library
@pytest.mark.parametrize("url", ["api.test:8443/accounts", "/accounts"])
def test_a_url_without_a_host_is_refused_with_a_fix_for_the_url(
    library: Any, pinned: Any, bank: Bank, url: str
) -> None:
    with (
        pinned.PinnedClient(bank.pins) as client,
        pytest.raises(library.ConnectError, match=r"the URL names no host.*\n.*https://"),
    ):
        client.get(url)


@of_each_library
def test_a_pinned_transport_can_be_mounted(library: Any, pinned: Any, bank: Bank) -> None:
    transport = pinned.PinnedTransport(bank.pins)
    with pinned.PinnedClient(
        bank.pins, transport=transport, mounts={"all://api.test": transport, "http://": None}
    ) as client:
        assert client.get(bank.url("api")).is_success


@of_each_library
def test_each_transport_of_a_client_is_pinned(
    library: Any, pinned: Any, bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("all_proxy", "http://127.0.0.1:1")
    with pinned.PinnedClient(bank.pins) as client:
        transports = [client._transport, *client._mounts.values()]
    assert len(transports) > 1
    assert {type(each) for each in transports} == {pinned.PinnedTransport}


@of_each_library
def test_a_plain_client_can_send_through_a_pinned_transport(
    library: Any, pinned: Any, bank: Bank
) -> None:
    with library.Client(transport=pinned.PinnedTransport(bank.pins)) as client:
        assert client.get(bank.url("api")).is_success
        with pytest.raises(library.ConnectError) as caught:
            client.get(bank.url("mitm"))
    assert caught.value.request.url.host == "mitm.test"
    assert isinstance(caught.value, certpin.PinMismatchError)


@pytest.fixture
def rogue(intermediate: Authority) -> RecordingServer:
    """A server for ``mitm.test`` with an unpinned key. It counts its connections."""
    return RecordingServer(server_context(intermediate.issue("mitm.test")))


@of_each_library
def test_a_refusal_is_not_retried(
    library: Any, pinned: Any, bank: Bank, rogue: RecordingServer
) -> None:
    told: queue.Queue[PinFailure] = queue.Queue()
    context = certpin.PinnedSSLContext(bank.pins, on_failure=[told.put])
    transport = pinned.PinnedTransport(context, retries=3)
    with rogue, library.Client(transport=transport) as client:
        for _ in range(2):
            with pytest.raises(library.ConnectError) as caught:
                client.get(f"https://mitm.test:{rogue.port}/")
            assert isinstance(caught.value, certpin.PinMismatchError)
    assert len(rogue.recordings(0)) == 2
    assert [told.get(timeout=10).host for _ in range(2)] == ["mitm.test"] * 2
    assert told.empty()


@of_each_library
def test_a_refusal_of_an_asynchronous_client_is_not_retried(
    library: Any, pinned: Any, bank: Bank, rogue: RecordingServer
) -> None:
    async def get() -> None:
        transport = pinned.AsyncPinnedTransport(bank.pins, retries=3)
        async with library.AsyncClient(transport=transport) as client:
            await client.get(f"https://mitm.test:{rogue.port}/")

    with rogue, pytest.raises(library.ConnectError) as caught:
        asyncio.run(get())
    assert isinstance(caught.value, certpin.PinMismatchError)
    assert len(rogue.recordings(0)) == 1


@of_each_library
def test_another_failure_is_retried_even_while_the_caller_handles_a_refusal(
    library: Any, pinned: Any, bank: Bank, rogue: RecordingServer
) -> None:
    assert rogue.context is not None
    rogue.context.maximum_version = ssl.TLSVersion.TLSv1_2
    context = certpin.PinnedSSLContext(bank.pins)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    transport = pinned.PinnedTransport(context, retries=1)
    with rogue, library.Client(transport=transport) as client:
        try:
            client.get(bank.url("unpinned"))
        except certpin.PinError:
            with pytest.raises(library.ConnectError):
                client.get(f"https://mitm.test:{rogue.port}/")
    assert len(rogue.recordings(0)) == 2


@of_each_library
def test_another_name_for_the_handshake_is_refused(library: Any, pinned: Any, bank: Bank) -> None:
    with (
        pinned.PinnedClient(bank.pins) as client,
        pytest.raises(certpin.ConfigError, match="sni_hostname"),
    ):
        client.get(bank.url("mitm"), extensions={"sni_hostname": "api.test"})
    assert bank.arrived("mitm") == []


@of_each_library
def test_a_websocket_in_clear_text_is_refused(library: Any, pinned: Any, bank: Bank) -> None:
    with pinned.PinnedClient(bank.pins) as client, pytest.raises(library.ConnectError) as caught:
        client.get(f"ws://api.test:{bank.web.plain}/")
    assert isinstance(caught.value, certpin.InsecureRequestError)


@of_each_library
def test_http2_is_used_if_requested(library: Any, pinned: Any, bank: Bank) -> None:
    with pinned.PinnedClient(bank.pins, http2=True) as client:
        assert client.get(bank.url("api")).http_version == "HTTP/2"
    with pinned.PinnedClient(bank.pins) as client:
        assert client.get(bank.url("api")).http_version == "HTTP/1.1"


@of_each_library
def test_trust_variables_do_not_replace_the_trust_of_the_pins(
    library: Any, pinned: Any, bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = certpin.PinnedSSLContext(bank.pins)
    monkeypatch.setenv("SSL_CERT_FILE", "/nonexistent")
    with pinned.PinnedClient(context) as client:
        assert client.context is context
        assert client.get(bank.url("api")).is_success


@of_each_library
def test_the_repeated_settings_of_a_plain_client_are_stored_once(
    library: Any, pinned: Any, bank: Bank
) -> None:
    context = certpin.PinnedSSLContext(bank.pins)
    for _ in range(3):
        with library.Client(verify=context) as client:
            assert client.get(bank.url("api")).is_success
    assert len(context._calls) == 1  # set_alpn_protocols


@pytest.fixture
def unpinned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pinned contexts connect with TLS that they don't check, as if a library bypassed them."""

    def wrap_socket(self: object, sock: Any, server_hostname: str, **_: object) -> ssl.SSLSocket:
        return ssl.create_default_context().wrap_socket(sock, server_hostname=server_hostname)

    def wrap_bio(
        self: object,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        return ssl.create_default_context().wrap_bio(
            incoming, outgoing, server_hostname=server_hostname
        )

    monkeypatch.setattr(certpin.PinnedSSLContext, "wrap_socket", wrap_socket)
    monkeypatch.setattr(certpin.PinnedSSLContext, "wrap_bio", wrap_bio)


@of_each_library
def test_a_connection_that_the_context_did_not_check_carries_no_request(
    library: Any, pinned: Any, bank: Bank, unpinned: None
) -> None:
    with (
        pinned.PinnedClient(bank.pins) as client,
        pytest.raises(library.ConnectError) as caught,
    ):
        client.get(bank.url("api"))
    assert isinstance(caught.value, certpin.UncheckedConnectionError)
    assert bank.arrived("api") == []


@of_each_library
def test_an_unchecked_asynchronous_connection_carries_no_request(
    library: Any, pinned: Any, bank: Bank, unpinned: None
) -> None:
    async def get() -> None:
        async with pinned.AsyncPinnedClient(bank.pins) as client:
            await client.get(bank.url("api"))

    with pytest.raises(library.ConnectError) as caught:
        asyncio.run(get())
    assert isinstance(caught.value, certpin.UncheckedConnectionError)
    assert bank.arrived("api") == []


@of_each_library
def test_a_trace_of_the_caller_is_called_and_its_request_is_unchanged(
    library: Any, pinned: Any, bank: Bank
) -> None:
    events: list[str] = []
    request = library.Request(
        "GET", bank.url("api"), extensions={"trace": lambda event, info: events.append(event)}
    )
    given = request.extensions["trace"]
    with pinned.PinnedClient(bank.pins) as client:
        assert client.send(request).is_success
    assert "connection.start_tls.complete" in events
    assert request.extensions["trace"] is given


def _other_pins() -> PinSet:
    return kit.pin_set(kit.policy("api.test"), version=2)


@of_each_library
@pytest.mark.parametrize("http2", [False, True])
def test_a_response_is_read_to_its_end_although_new_pins_refuse_its_connection(
    library: Any, pinned: Any, bank: Bank, http2: bool
) -> None:
    context = certpin.PinnedSSLContext(bank.pins)
    with pinned.PinnedClient(context, http2=http2, timeout=10) as client:
        with client.stream("GET", bank.url("api", "/large")) as response:
            context.swap(_other_pins())
            with pytest.raises(certpin.PinMismatchError):
                client.get(bank.url("api", "/secret"))
            assert sum(map(len, response.iter_bytes())) == int(response.headers["content-length"])
        with pytest.raises(certpin.PinMismatchError):
            client.get(bank.url("api", "/secret"))
    assert len(bank.arrived("api")) == 1


@pytest.fixture
def pins_replaced_late(monkeypatch: pytest.MonkeyPatch) -> Callable[[PinnedSSLContext], None]:
    """Return a function after which httpcore's next request gets new pins too late to avoid it.

    The pins are replaced when httpcore has already selected a kept connection for the request.
    """
    waiting: list[PinnedSSLContext] = []

    def replace_pins(send: Any) -> Any:
        def sending(self: Any, request: Any) -> Any:
            if waiting:
                waiting.pop().swap(_other_pins())
            return send(self, request)

        return sending

    for name in ("handle_request", "handle_async_request"):
        monkeypatch.setattr(_KeptConnection, name, replace_pins(vars(_KeptConnection)[name]))
    return waiting.append


@of_each_library
@pytest.mark.parametrize("http2", [False, True])
def test_pins_that_are_replaced_after_the_selection_of_a_connection_apply(
    library: Any,
    pinned: Any,
    bank: Bank,
    http2: bool,
    pins_replaced_late: Callable[[PinnedSSLContext], None],
) -> None:
    context = certpin.PinnedSSLContext(bank.pins)
    with pinned.PinnedClient(context, http2=http2) as client:
        client.get(bank.url("api"))
        pins_replaced_late(context)
        with pytest.raises(certpin.PinMismatchError):
            client.get(bank.url("api", "/secret"))
    assert len(bank.arrived("api")) == 1


@of_each_library
@pytest.mark.parametrize("http2", [False, True])
def test_pins_that_are_replaced_late_apply_to_an_asynchronous_client(
    library: Any,
    pinned: Any,
    bank: Bank,
    http2: bool,
    pins_replaced_late: Callable[[PinnedSSLContext], None],
) -> None:
    context = certpin.PinnedSSLContext(bank.pins)

    async def get() -> None:
        async with pinned.AsyncPinnedClient(context, http2=http2) as client:
            await client.get(bank.url("api"))
            pins_replaced_late(context)
            await client.get(bank.url("api", "/secret"))

    with pytest.raises(certpin.PinMismatchError):
        asyncio.run(get())
    assert len(bank.arrived("api")) == 1


@of_each_library
@pytest.mark.parametrize("http2", [False, True])
def test_threads_send_no_request_on_kept_connections_that_new_pins_refuse(
    library: Any, pinned: Any, bank: Bank, http2: bool
) -> None:
    context, ready = certpin.PinnedSSLContext(bank.pins), threading.Barrier(5, timeout=10)

    def work(client: Any) -> str:
        client.get(bank.url("api"))
        ready.wait()  # each thread has a connection, or shares that of HTTP/2
        ready.wait()  # the pins were replaced
        try:
            return str(client.get(bank.url("api", "/secret")))
        except certpin.PinMismatchError:
            return "refused"

    with (
        pinned.PinnedClient(context, http2=http2, timeout=10) as client,
        ThreadPoolExecutor(4) as threads,
    ):
        results = [threads.submit(work, client) for _ in range(4)]
        ready.wait()
        context.swap(_other_pins())
        ready.wait()
        assert [result.result(10) for result in results] == ["refused"] * 4
    assert not [request for request in bank.arrived("api") if "secret" in request]


@of_each_library
def test_a_kept_connection_gives_way_although_the_pool_is_full(
    library: Any, pinned: Any, bank: Bank
) -> None:
    context = certpin.PinnedSSLContext(bank.pins)
    limits = library.Limits(max_connections=1)
    with pinned.PinnedClient(context, http2=True, limits=limits, timeout=10) as client:
        client.get(bank.url("api"))
        report = kit.pin_set(kit.policy("api.test", mode="report"), version=2)
        context.swap(report)
        for _ in range(2):
            assert client.get(bank.url("api")).is_success
    assert bank.connections("api") == 2


def _smallest_pool(library: Any) -> dict[str, Any]:
    """Return the options of a client with one connection, for which requests hardly wait."""
    return {
        "limits": library.Limits(max_connections=1),
        "timeout": library.Timeout(10, pool=0.1),
    }


@of_each_library
def test_a_refusal_behind_a_proxy_takes_no_place_in_the_pool(
    library: Any, pinned: Any, bank: Bank
) -> None:
    with (
        tunnel(bank.web.port) as proxy,
        pinned.PinnedClient(bank.pins, proxy=proxy.url, **_smallest_pool(library)) as client,
    ):
        for _ in range(2):
            with pytest.raises(certpin.PinMismatchError):
                client.get(bank.url("mitm"))
        assert client.get(bank.url("api")).is_success


class _StopError(Exception):
    """Ends a request in a trace event."""


@of_each_library
def test_an_interrupted_connection_is_closed_and_gives_its_place_back(
    library: Any, pinned: Any, bank: Bank
) -> None:
    opened: list[Any] = []

    def trace(event: str, info: dict[str, Any]) -> None:
        if event.endswith(".connect_tcp.complete"):
            opened.append(info["return_value"].get_extra_info("socket"))
        if event.endswith(".start_tls.started"):
            raise _StopError

    with (
        tunnel(bank.web.port) as proxy,
        pinned.PinnedClient(bank.pins, proxy=proxy.url, **_smallest_pool(library)) as client,
    ):
        with pytest.raises(_StopError):
            client.get(bank.url("api"), extensions={"trace": trace})
        assert [sock.fileno() for sock in opened] == [-1]
        assert client.get(bank.url("api")).is_success


@of_each_library
def test_an_interrupted_request_does_not_end_others_of_its_http2_connection(
    library: Any, pinned: Any, bank: Bank
) -> None:
    with (
        pinned.PinnedClient(bank.pins, http2=True, **_smallest_pool(library)) as client,
        ExitStack() as responses,
    ):
        others: list[Any] = []

        def trace(event: str, info: dict[str, Any]) -> None:
            if event == "http2.receive_response_headers.complete":
                another = client.stream("GET", bank.url("api", "/large"))
                others.append(responses.enter_context(another))
                raise _StopError

        with pytest.raises(_StopError):
            client.get(bank.url("api"), extensions={"trace": trace})
        (response,) = others
        assert sum(map(len, response.iter_bytes())) == int(response.headers["content-length"])
    assert bank.connections("api") == 1


@pytest.mark.medium
@of_each_library
@pytest.mark.parametrize("behind_proxy", [False, True])
@pytest.mark.parametrize("host", ["api", "mitm"])
def test_a_cancelled_request_leaves_no_open_connection_and_no_taken_place_in_the_pool(
    library: Any, pinned: Any, bank: Bank, behind_proxy: bool, host: str
) -> None:
    """httpcore itself leaves both (see the note on httpx in docs/guides/python-clients.md).

    The request is cancelled in each of its steps, from that on in which TCP is connected.
    """
    refusals = () if host == "api" else (certpin.PinMismatchError,)
    opened: list[asyncio.Transport] = []

    async def cancel_in(step: int, proxy: str | None) -> bool:
        """Cancel a request, and send another one. Return False if the first ended before."""
        _record_transports(opened)
        async with pinned.AsyncPinnedClient(
            bank.pins, proxy=proxy, **_smallest_pool(library)
        ) as client:
            request = client.build_request("GET", bank.url(host))
            try:
                await cancelled_in_step(step, client.send(request, stream=True))
            except asyncio.CancelledError:
                pass
            except refusals:
                return False
            else:
                return False
            if opened:
                assert [transport for transport in opened if not transport.is_closing()] == []
                with pytest.raises(refusals) if refusals else nullcontext():
                    await client.get(bank.url(host))
        return True

    with ExitStack() as stack:
        proxy = stack.enter_context(tunnel(bank.web.port)).url if behind_proxy else None
        steps = 0
        while asyncio.run(cancel_in(steps + 1, proxy)):
            opened.clear()
            steps += 1
    assert steps > 5


def _record_transports(opened: list[asyncio.Transport]) -> None:
    """Append the transports that the running loop will make for connections to ``opened``."""
    loop: Any = asyncio.get_running_loop()
    connect = loop.create_connection

    async def create_connection(*args: Any, **kwargs: Any) -> Any:
        transport, protocol = await connect(*args, **kwargs)
        opened.append(transport)
        return transport, protocol

    loop.create_connection = create_connection
