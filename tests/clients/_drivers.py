"""One small driver for each pinned client: it makes requests one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.error import URLError

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
from certpin.clients.urllib3 import PinnedPoolManager, PinnedProxyManager
from tests.clients._loops import AsyncioLoop, UvLoop, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from certpin.clients._common import Pins

    # A URL to get, or something to do between two requests.
    Step = str | Callable[[], object]

_PATIENCE = 10.0  # seconds


@dataclass(frozen=True)
class Driver:
    """``fetch(pins, proxy, steps)`` returns a body for each URL among the steps.

    ``error`` is the library's own error for a certificate that is refused, and ``base`` that for
    any TLS that fails.
    """

    name: str
    fetch: Callable[[Pins, str | None, tuple[Step, ...]], list[str]]
    error: type[Exception]
    base: type[Exception]
    keeps_connections: bool = True
    https_proxies: bool = True

    def get(self, pins: Pins, *steps: Step, proxy: str | None = None) -> list[str]:
        return self.fetch(pins, proxy, steps)


def _each(steps: tuple[Step, ...], get: Callable[[str], str]) -> list[str]:
    return [get(url) for url in _urls(steps)]


def _urls(steps: tuple[Step, ...]) -> Iterator[str]:
    for step in steps:
        if callable(step):
            step()
        else:
            yield step


def _with_httpx(module: Any, **options: Any) -> Callable[..., list[str]]:
    def fetch(pins: Pins, proxy: str | None, steps: tuple[Step, ...]) -> list[str]:
        with module.PinnedClient(
            pins, proxy=proxy, follow_redirects=True, timeout=_PATIENCE, **options
        ) as client:
            return _each(steps, lambda url: str(client.get(url).raise_for_status().text))

    return fetch


def _with_async_httpx(module: Any, loop: Any, **options: Any) -> Callable[..., list[str]]:
    def fetch(pins: Pins, proxy: str | None, steps: tuple[Step, ...]) -> list[str]:
        async def work() -> list[str]:
            async with module.AsyncPinnedClient(
                pins, proxy=proxy, follow_redirects=True, timeout=_PATIENCE, **options
            ) as client:
                return [(await client.get(url)).raise_for_status().text for url in _urls(steps)]

        bodies: list[str] = run(work, loop)
        return bodies

    return fetch


def _with_aiohttp(loop: Any) -> Callable[..., list[str]]:
    def fetch(pins: Pins, proxy: str | None, steps: tuple[Step, ...]) -> list[str]:
        async def work() -> list[str]:
            async with aiohttp.ClientSession(
                connector=PinnedConnector(pins),
                timeout=aiohttp.ClientTimeout(_PATIENCE),
                raise_for_status=True,
                trust_env=True,
            ) as session:
                return [await _read(session, url, proxy) for url in _urls(steps)]

        bodies: list[str] = run(work, loop)
        return bodies

    return fetch


async def _read(session: aiohttp.ClientSession, url: str, proxy: str | None) -> str:
    async with session.get(url, proxy=proxy) as response:
        return await response.text()


def _with_session(make: Callable[[Pins], requests.Session]) -> Callable[..., list[str]]:
    def fetch(pins: Pins, proxy: str | None, steps: tuple[Step, ...]) -> list[str]:
        with make(pins) as session:
            if proxy:
                session.proxies = {"https": proxy}

            def get(url: str) -> str:
                response = session.get(url, timeout=_PATIENCE)
                response.raise_for_status()
                return response.text

            return _each(steps, get)

    return fetch


def _plain_session(pins: Pins) -> requests.Session:
    session, adapter = requests.Session(), PinnedAdapter(pins)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _with_urllib3(pins: Pins, proxy: str | None, steps: tuple[Step, ...]) -> list[str]:
    manager: urllib3.PoolManager = (
        PinnedProxyManager(pins, proxy, timeout=_PATIENCE)
        if proxy
        else PinnedPoolManager(pins, timeout=_PATIENCE)
    )
    with manager as http:
        return _each(steps, lambda url: http.request("GET", url).data.decode())


def _with_opener(pins: Pins, proxy: str | None, steps: tuple[Step, ...]) -> list[str]:
    opener = stdlib.opener(pins, proxies={"https": proxy} if proxy else None)

    def get(url: str) -> str:
        with opener.open(url, timeout=_PATIENCE) as response:
            return str(response.read().decode())

    return _each(steps, get)


def _drivers() -> Iterator[Driver]:
    for library, module in ((httpx, pinned_httpx), (httpx2, pinned_httpx2)):
        name, errors = library.__name__, (library.ConnectError, library.TransportError)
        yield Driver(f"{name}-http1", _with_httpx(module), *errors)
        yield Driver(f"{name}-http2", _with_httpx(module, http2=True), *errors)
        yield Driver(f"{name}-asyncio", _with_async_httpx(module, AsyncioLoop), *errors)
        yield Driver(f"{name}-uvloop-http2", _with_async_httpx(module, UvLoop, http2=True), *errors)
    aiohttp_errors = (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectionError)
    yield Driver("aiohttp-asyncio", _with_aiohttp(AsyncioLoop), *aiohttp_errors)
    yield Driver("aiohttp-uvloop", _with_aiohttp(UvLoop), *aiohttp_errors)
    requests_errors = (requests.exceptions.SSLError, requests.RequestException)
    yield Driver("requests-session", _with_session(PinnedSession), *requests_errors)
    yield Driver("requests-adapter", _with_session(_plain_session), *requests_errors)
    urllib3_errors = (urllib3.exceptions.SSLError, urllib3.exceptions.HTTPError)
    yield Driver("urllib3", _with_urllib3, *urllib3_errors)
    yield Driver("stdlib", _with_opener, URLError, URLError, False, False)


DRIVERS = tuple(_drivers())

driven = pytest.mark.parametrize("driver", DRIVERS, ids=lambda driver: driver.name)


def refusal(
    driver: Driver,
    kind: type[certpin.PinError],
    pins: Pins,
    *steps: Step,
    proxy: str | None = None,
) -> certpin.PinError:
    """What the last step is refused with: the library's own error and the ``PinError`` in one."""
    with pytest.raises(driver.error) as caught:
        driver.get(pins, *steps, proxy=proxy)
    error = certpin.pin_error(caught.value)
    assert isinstance(error, kind)
    assert isinstance(caught.value, kind)
    return error
