"""Reports from every pinned client: a server fails its pins, and a collector gets the report."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import aiohttp
import httpx
import httpx2
import pytest
import requests
import urllib3

import certpin
from certpin.clients import httpx as pinned_httpx
from certpin.clients import httpx2 as pinned_httpx2
from certpin.clients import stdlib
from certpin.clients.aiohttp import PinnedConnector
from certpin.clients.requests import PinnedAdapter, PinnedSession
from certpin.clients.urllib3 import PinnedPoolManager
from tests.reports._collector import PATIENCE, Collector

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from certpin.pins import PinSet
    from tests.clients.conftest import Bank

    # Makes one request with these pins and a reporter as a hook.
    Get = Callable[[Any, str, dict[str, Any]], object]


def _transport(module: Any, library: Any) -> Get:
    def get(pins: Any, url: str, options: dict[str, Any]) -> object:
        with library.Client(transport=module.PinnedTransport(pins, **options)) as client:
            return client.get(url)

    return get


def _client(module: Any) -> Get:
    def get(pins: Any, url: str, options: dict[str, Any]) -> object:
        with module.PinnedClient(pins, http2=True, **options) as client:
            return client.get(url)

    return get


def _async_client(module: Any) -> Get:
    def get(pins: Any, url: str, options: dict[str, Any]) -> object:
        async def work() -> object:
            async with module.AsyncPinnedClient(pins, **options) as client:
                return await client.get(url)

        return asyncio.run(work())

    return get


def _aiohttp(pins: Any, url: str, options: dict[str, Any]) -> object:
    async def work() -> object:
        connector = PinnedConnector(pins, **options)
        async with aiohttp.ClientSession(connector=connector) as session, session.get(url) as got:
            return got.status

    return asyncio.run(work())


def _session(pins: Any, url: str, options: dict[str, Any]) -> object:
    with PinnedSession(pins, **options) as session:
        return session.get(url, timeout=PATIENCE)


def _adapter(pins: Any, url: str, options: dict[str, Any]) -> object:
    with requests.Session() as session:
        session.mount("https://", PinnedAdapter(pins, **options))
        return session.get(url, timeout=PATIENCE)


def _urllib3(pins: Any, url: str, options: dict[str, Any]) -> object:
    with PinnedPoolManager(pins, **options) as http:
        return http.request("GET", url)


def _stdlib(pins: Any, url: str, options: dict[str, Any]) -> object:
    with stdlib.opener(pins, **options).open(url, timeout=PATIENCE) as response:
        return response.read()


CLIENTS: dict[str, Get] = {
    "httpx": _client(pinned_httpx),
    "httpx-async": _async_client(pinned_httpx),
    "httpx-transport": _transport(pinned_httpx, httpx),
    "httpx2": _client(pinned_httpx2),
    "httpx2-async": _async_client(pinned_httpx2),
    "httpx2-transport": _transport(pinned_httpx2, httpx2),
    "aiohttp": _aiohttp,
    "requests-session": _session,
    "requests-adapter": _adapter,
    "urllib3": _urllib3,
    "stdlib": _stdlib,
}


def _pins(bank: Bank, address: str) -> PinSet:
    """Return the bank's pin set with ``address`` as the URL to which each policy sends reports."""
    told = tuple(replace(policy, report_to=(address,)) for policy in bank.pins.policies)
    return replace(bank.pins, policies=told)


@pytest.mark.peer("nginx")
@pytest.mark.parametrize("name", CLIENTS)
def test_a_server_that_fails_its_pins_or_openssl_is_reported(
    name: str, bank: Bank, tmp_path: Path
) -> None:
    get = CLIENTS[name]
    with Collector() as collector, certpin.Reporter(tmp_path / "reports", app=name) as reporter:
        pins = _pins(bank, collector.url)
        with pytest.raises(Exception, match="mitm") as caught:
            get(pins, bank.url("mitm"), {"on_failure": [reporter]})
        assert isinstance(certpin.pin_error(caught.value), certpin.PinMismatchError)
        with pytest.raises(Exception, match="unable to get local issuer") as caught:
            get(pins, bank.url("stranger"), {"on_failure": [reporter]})
        assert isinstance(certpin.pin_error(caught.value), certpin.UnverifiedChainError)
        found = {each.document["hostname"]: each.document for each in collector.arrived(2)}
    pinned, strange = found["mitm.test"], found["stranger.test"]
    for document, reason in ((pinned, "mismatch"), (strange, "untrusted")):
        assert (document["reason"], document["decision"]) == (reason, "refuse")
        assert (document["port"], document["app"]) == (bank.web.port, name)
    assert len(pinned["served-certificate-chain"]) == 2
    assert len(pinned["validated-certificate-chain"]) == 3
    assert len(strange["served-certificate-chain"]) == 1
    assert strange["validated-certificate-chain"] == [], "nobody verified it"
    assert bank.arrived("mitm") == bank.arrived("stranger") == []


@pytest.mark.peer("nginx")
@pytest.mark.parametrize("name", CLIENTS)
def test_hooks_with_a_context_are_refused(name: str, bank: Bank, tmp_path: Path) -> None:
    context = certpin.PinnedSSLContext(bank.pins)
    with (
        certpin.Reporter(tmp_path) as reporter,
        pytest.raises(certpin.ConfigError, match="on_failure: the given context"),
    ):
        CLIENTS[name](context, bank.url("mitm"), {"on_failure": [reporter]})


@pytest.mark.peer("nginx")
def test_a_program_that_exits_on_a_refusal_has_reported_it(bank: Bank, tmp_path: Path) -> None:
    def program(address: str) -> None:
        with certpin.Reporter(tmp_path / "reports") as reporter:
            _urllib3(_pins(bank, address), bank.url("mitm"), {"on_failure": [reporter]})

    with Collector() as collector:
        with pytest.raises(urllib3.exceptions.SSLError):
            program(collector.url)
        assert len(collector.arrived()) == 1
