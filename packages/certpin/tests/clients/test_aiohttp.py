"""Options and errors of the client for aiohttp."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

import certpin
from certpin import PinnedSSLContext
from certpin.clients.aiohttp import PinnedConnector
from tests.clients._loops import run
from tests.servers.proxy import https_proxy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from certpin.lab import Authority
    from tests.clients.conftest import Bank

pytestmark = pytest.mark.peer("nginx")

FINGERPRINT = bytes(32)


def with_session(
    bank: Bank, work: Callable[[aiohttp.ClientSession, PinnedSSLContext], Awaitable[Any]]
) -> Any:
    async def in_session() -> Any:
        context = PinnedSSLContext(bank.pins)
        async with aiohttp.ClientSession(connector=PinnedConnector(context)) as session:
            return await work(session, context)

    return run(in_session)


@pytest.mark.parametrize(
    "option",
    [
        {"ssl": False},
        {"ssl": ssl.create_default_context()},
        {"ssl_context": ssl.create_default_context()},
        {"verify_ssl": False},
        {"fingerprint": FINGERPRINT},
    ],
    ids=["off", "context", "ssl_context", "verify_ssl", "fingerprint"],
)
def test_options_about_tls_are_refused(bank: Bank, option: dict[str, Any]) -> None:
    async def make() -> None:
        PinnedConnector(bank.pins, **option)

    with pytest.raises(certpin.ConfigError, match="only the pinned context"):
        run(make)


@pytest.mark.parametrize(
    "option",
    [
        {"ssl": False},
        {"ssl": aiohttp.Fingerprint(FINGERPRINT)},
        {"ssl": ssl.create_default_context()},
        {"server_hostname": "api.test"},
    ],
    ids=["off", "fingerprint", "context", "server_hostname"],
)
def test_options_about_tls_are_refused_for_each_request(bank: Bank, option: dict[str, Any]) -> None:
    with pytest.raises(certpin.ConfigError, match="only the pinned context"):
        with_session(bank, lambda session, _: session.get(bank.url("mitm"), **option))
    assert bank.arrived("mitm") == []


def test_options_that_change_nothing_are_taken(bank: Bank) -> None:
    async def work(session: aiohttp.ClientSession, context: PinnedSSLContext) -> list[int]:
        options: list[dict[str, Any]] = [
            {"ssl": True},
            {"ssl": context},
            {"server_hostname": "api.test"},
        ]
        return [(await session.get(bank.url("api"), **each)).status for each in options]

    assert with_session(bank, work) == [200] * 3


def test_a_websocket_in_clear_text_is_refused(bank: Bank) -> None:
    address = f"ws://api.test:{bank.web.plain}/"
    with pytest.raises(aiohttp.ClientConnectorCertificateError) as caught:
        with_session(bank, lambda session, _: session.ws_connect(address))
    assert isinstance(caught.value, certpin.InsecureRequestError)
    assert bank.arrived_in_clear_text() == []


def test_the_error_names_host_and_port(bank: Bank) -> None:
    with pytest.raises(aiohttp.ClientConnectorCertificateError) as caught:
        with_session(bank, lambda session, _: session.get(bank.url("mitm")))
    assert (caught.value.host, caught.value.port) == ("mitm.test", bank.web.port)
    assert isinstance(caught.value.certificate_error, certpin.PinMismatchError)


def test_a_connection_that_the_context_did_not_check_is_closed(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    """aiohttp is patched to use a plain TLS context: an error is raised, and no request is sent."""
    other = ssl.create_default_context()
    monkeypatch.setattr(aiohttp.TCPConnector, "_get_ssl_context", lambda *_: other)

    async def work() -> None:
        async with aiohttp.ClientSession(connector=PinnedConnector(bank.pins)) as session:
            await session.get(bank.url("api"))

    with pytest.raises(aiohttp.ClientConnectorCertificateError) as caught:
        run(work)
    assert isinstance(caught.value, certpin.UncheckedConnectionError)
    assert bank.arrived("api") == []


@pytest.mark.peer("tinyproxy", "libnginx-mod-stream")
def test_a_tls_proxy_of_the_environment_is_ignored_and_the_pins_apply(
    bank: Bank, intermediate: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The documented limit of aiohttp: it connects directly."""

    async def get(name: str) -> int:
        connector = PinnedConnector(bank.pins)
        async with aiohttp.ClientSession(connector=connector, trust_env=True) as session:
            return (await session.get(bank.url(name))).status

    with https_proxy(intermediate.issue("127.0.0.1")) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        assert run(lambda: get("api")) == 200
        with pytest.raises(certpin.PinMismatchError):
            run(lambda: get("mitm"))
        assert proxy.asked() == []
