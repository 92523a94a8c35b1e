"""Drivers for the libraries of the common test environment, except for urllib3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp
import httpx
import httpx2

from certpin.clients import httpx as pinned_httpx
from certpin.clients import httpx2 as pinned_httpx2
from certpin.clients.aiohttp import PinnedConnector
from tests.clients._driver import PATIENCE, Driver, each_of, urls_of
from tests.clients._loops import AsyncioLoop, UvLoop, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from certpin.clients._common import Pins
    from tests.clients._driver import Step


def _with_httpx(module: Any, **options: Any) -> Callable[..., list[str]]:
    def fetch(pins: Pins, proxy: str | None, steps: tuple[Step, ...]) -> list[str]:
        with module.PinnedClient(
            pins, proxy=proxy, follow_redirects=True, timeout=PATIENCE, **options
        ) as client:
            return each_of(steps, lambda url: str(client.get(url).raise_for_status().text))

    return fetch


def _with_async_httpx(module: Any, loop: Any, **options: Any) -> Callable[..., list[str]]:
    def fetch(pins: Pins, proxy: str | None, steps: tuple[Step, ...]) -> list[str]:
        async def work() -> list[str]:
            async with module.AsyncPinnedClient(
                pins, proxy=proxy, follow_redirects=True, timeout=PATIENCE, **options
            ) as client:
                return [(await client.get(url)).raise_for_status().text for url in urls_of(steps)]

        bodies: list[str] = run(work, loop)
        return bodies

    return fetch


def _with_aiohttp(loop: Any) -> Callable[..., list[str]]:
    def fetch(pins: Pins, proxy: str | None, steps: tuple[Step, ...]) -> list[str]:
        async def work() -> list[str]:
            async with aiohttp.ClientSession(
                connector=PinnedConnector(pins),
                timeout=aiohttp.ClientTimeout(PATIENCE),
                raise_for_status=True,
                trust_env=True,
            ) as session:
                return [await _read(session, url, proxy) for url in urls_of(steps)]

        bodies: list[str] = run(work, loop)
        return bodies

    return fetch


async def _read(session: aiohttp.ClientSession, url: str, proxy: str | None) -> str:
    async with session.get(url, proxy=proxy) as response:
        return await response.text()


def drivers() -> Iterator[Driver]:
    for library, module in ((httpx, pinned_httpx), (httpx2, pinned_httpx2)):
        name, errors = library.__name__, (library.ConnectError, library.TransportError)
        yield Driver(f"{name}-http1", _with_httpx(module), *errors)
        yield Driver(f"{name}-http2", _with_httpx(module, http2=True), *errors)
        yield Driver(f"{name}-asyncio", _with_async_httpx(module, AsyncioLoop), *errors)
        yield Driver(f"{name}-uvloop-http2", _with_async_httpx(module, UvLoop, http2=True), *errors)
    aiohttp_errors = (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectionError)
    yield Driver("aiohttp-asyncio", _with_aiohttp(AsyncioLoop), *aiohttp_errors)
    yield Driver("aiohttp-uvloop", _with_aiohttp(UvLoop), *aiohttp_errors)
