"""Unmodified libraries with a ``PinnedSSLContext``: pins are enforced with any of their options."""

from __future__ import annotations

import contextlib
import gc
import http.client
import ssl
import sys
import threading
from typing import TYPE_CHECKING, Any

import aiohttp
import httpx
import httpx2
import pytest
import requests
import urllib3
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
from urllib3.contrib import pyopenssl

import certpin
from certpin import PinnedSSLContext
from certpin.clients.requests import PinnedSession
from certpin.clients.urllib3 import PinnedPoolManager
from tests import kit
from tests.clients._loops import run
from tests.servers.mosquitto import mosquitto

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from certpin import PinFailure
    from certpin.lab import Authority
    from tests.clients.conftest import Bank

    # Gets a URL with a context, and with the library's options for a request.
    Get = Callable[..., None]

pytestmark = pytest.mark.peer("nginx")


def with_requests(context: ssl.SSLContext, url: str, **options: Any) -> None:
    class Adapter(requests.adapters.HTTPAdapter):
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            super().init_poolmanager(*args, ssl_context=context, **kwargs)

    with requests.Session() as session:
        session.mount("https://", Adapter())
        session.get(url, timeout=10, **options)


def with_urllib3(context: ssl.SSLContext, url: str, **options: Any) -> None:
    with urllib3.PoolManager(ssl_context=context, retries=False, **options) as manager:
        manager.request("GET", url)


def with_httpx(context: ssl.SSLContext, url: str) -> None:
    with httpx.Client(verify=context) as client:
        client.get(url)


def with_httpx2(context: ssl.SSLContext, url: str) -> None:
    with httpx2.Client(verify=context) as client:
        client.get(url)


def with_aiohttp(context: ssl.SSLContext, url: str, **options: Any) -> None:
    async def work() -> None:
        connector = aiohttp.TCPConnector(ssl=context)
        async with aiohttp.ClientSession(connector=connector) as session:
            await session.get(url, **options)

    run(work)


def with_http_client(context: ssl.SSLContext, url: str, **options: Any) -> None:
    parts = httpx.URL(url)
    connection = http.client.HTTPSConnection(parts.host, parts.port, context=context, **options)
    with contextlib.closing(connection):
        connection.request("GET", parts.path)
        connection.getresponse().read()


with_each = pytest.mark.parametrize(
    "get",
    [with_requests, with_urllib3, with_httpx, with_httpx2, with_aiohttp, with_http_client],
    ids=lambda get: get.__name__,
)


@with_each
def test_pins_hold(get: Get, bank: Bank) -> None:
    context = PinnedSSLContext(bank.pins)
    get(context, bank.url("api"))
    assert len(bank.arrived("api")) == 1
    with pytest.raises(Exception, match=r"mitm\.test") as caught:
        get(context, bank.url("mitm"))
    assert isinstance(certpin.pin_error(caught.value), certpin.PinMismatchError)
    assert bank.arrived("mitm") == []


@pytest.mark.parametrize(
    ("get", "option"),
    [
        (with_requests, {"verify": False}),
        (with_urllib3, {"cert_reqs": "CERT_NONE"}),
        (with_urllib3, {"cert_reqs": "CERT_NONE", "assert_hostname": False}),
        (with_urllib3, {"assert_hostname": False}),
        (with_urllib3, {"assert_hostname": "mitm.test"}),
        (with_urllib3, {"assert_fingerprint": "00" * 32}),
    ],
)
def test_options_that_weaken_the_context_raise_an_error(
    get: Get, option: dict[str, Any], bank: Bank
) -> None:
    """Python itself raises ``ValueError``, because it refuses CERT_NONE with check_hostname."""
    with pytest.raises((ValueError, urllib3.exceptions.SSLError)) as caught:
        get(PinnedSSLContext(bank.pins), bank.url("mitm"), **option)
    if not isinstance(caught.value, ValueError):
        assert isinstance(certpin.pin_error(caught.value), certpin.WeakenedContextError)
    assert bank.arrived("mitm") == []


def test_a_context_weakened_before_raises_an_error(bank: Bank) -> None:
    context = PinnedSSLContext(bank.pins)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with pytest.raises(httpx.ConnectError) as caught:
        with_httpx(context, bank.url("mitm"))
    assert isinstance(certpin.pin_error(caught.value), certpin.WeakenedContextError)
    assert bank.arrived("mitm") == []


@pytest.mark.filterwarnings("ignore:key_file, cert_file and check_hostname:DeprecationWarning")
def test_http_client_of_python_3_11_can_weaken_the_context_and_is_refused(bank: Bank) -> None:
    """``HTTPSConnection(check_hostname=False)`` ends in ``WeakenedContextError``.

    Since Python 3.12 the parameter does not exist, so the error is a ``TypeError``.
    """
    context = PinnedSSLContext(bank.pins)
    kind = TypeError if sys.version_info >= (3, 12) else certpin.WeakenedContextError
    with pytest.raises(kind):
        with_http_client(context, bank.url("mitm"), check_hostname=False)
    assert bank.arrived("mitm") == []


def test_paho_mqtt_can_weaken_the_context_and_is_refused(bank: Bank) -> None:
    client = Client(CallbackAPIVersion.VERSION2)
    client.tls_set_context(PinnedSSLContext(bank.pins))
    client.tls_insecure_set(True)
    with pytest.raises(certpin.WeakenedContextError):
        client.connect("mitm.test", bank.web.port)


def test_only_aiohttp_allows_another_context_for_a_request(bank: Bank) -> None:
    """The reason for ``PinnedConnector``: a context can't notice that it was not used."""
    with_aiohttp(PinnedSSLContext(bank.pins), bank.url("mitm"), ssl=False)
    assert len(bank.arrived("mitm")) == 1


@pytest.fixture
def injected() -> Iterator[None]:
    """Let urllib3 use pyOpenSSL. It then switches ``check_hostname`` off on every context."""
    pyopenssl.inject_into_urllib3()
    try:
        yield
    finally:
        pyopenssl.extract_from_urllib3()


@pytest.mark.parametrize("client", [PinnedPoolManager, PinnedSession])
def test_the_adapters_keep_a_context_as_it_is_beside_pyopenssl(
    client: Any, bank: Bank, injected: None
) -> None:
    context = PinnedSSLContext(bank.pins)
    with client(context) as http:
        http.request("GET", bank.url("api"))
        for name, error in (
            ("mitm", certpin.PinMismatchError),
            ("misnamed", certpin.UnverifiedChainError),
        ):
            with pytest.raises(error):
                http.request("GET", bank.url(name))
            assert bank.arrived(name) == []
    with_httpx(context, bank.url("api"))
    assert bank.arrived("api") == ["https HTTP/1.1 GET /"] * 2


def test_a_plain_pool_beside_pyopenssl_is_refused(bank: Bank, injected: None) -> None:
    with pytest.raises(urllib3.exceptions.HTTPError) as caught:
        with_urllib3(PinnedSSLContext(bank.pins), bank.url("api"))
    assert isinstance(certpin.pin_error(caught.value), certpin.WeakenedContextError)
    assert bank.arrived("api") == []


@pytest.mark.peer("mosquitto")
@pytest.mark.filterwarnings(
    # paho-mqtt leaves the socket of any failed handshake to the garbage collector.
    r"ignore:Exception ignored .* <certpin\.tls\.gate\.PinnedSSLSocket"
    ":pytest.PytestUnraisableExceptionWarning"
)
def test_a_hook_stops_the_loop_of_paho_that_drops_the_refusal(
    intermediate: Authority, tmp_path: Path
) -> None:
    """The advice of the documentation: the loop would connect again for ever."""
    client = Client(CallbackAPIVersion.VERSION2)
    stopped = threading.Event()

    def stop(failure: PinFailure) -> None:
        if failure.decision == "refuse":
            client.loop_stop()
            stopped.set()

    pins = kit.pin_set(kit.policy("localhost"))
    client.tls_set_context(PinnedSSLContext(pins, on_failure=[stop]))
    with mosquitto(*intermediate.issue("localhost").write(tmp_path, "broker")) as port:
        client.connect_async("localhost", port)
        client.loop_start()
        assert stopped.wait(timeout=10)
        assert client._thread is None
        with pytest.raises(certpin.PinMismatchError):
            client.connect("localhost", port)
    gc.collect()
