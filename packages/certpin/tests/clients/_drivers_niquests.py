"""``Driver`` objects for niquests, in a separate environment (requirements/niquests.txt)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import niquests

from certpin.clients.niquests import AsyncPinnedSession, PinnedAdapter, PinnedSession
from tests.clients._driver import PATIENCE, Driver, each_of, urls_of
from tests.clients._loops import AsyncioLoop, UvLoop, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from certpin.clients._common import Pins
    from tests.clients._driver import Step


def _forget_proxies() -> None:
    """Clear the proxy settings that niquests reads from the environment once and then caches."""
    niquests.utils.getproxies.cache_clear()
    niquests.utils.getproxies_environment.cache_clear()


def _with_session(make: Callable[..., Any], **options: Any) -> Callable[..., list[str]]:
    def fetch(pins: Pins, proxy: str | None, steps: tuple[Step, ...]) -> list[str]:
        _forget_proxies()
        with make(pins, **options) as session:
            if proxy:
                session.proxies = {"https": proxy}

            def get(url: str) -> str:
                return str(session.get(url, timeout=PATIENCE).raise_for_status().text)

            return each_of(steps, get)

    return fetch


def _plain_session(pins: Pins) -> niquests.Session:
    session = niquests.Session()
    session.mount("https://", PinnedAdapter(pins))
    session.mount("http://", PinnedAdapter(pins))
    return session


def _with_async_session(loop: Any, **options: Any) -> Callable[..., list[str]]:
    def fetch(pins: Pins, proxy: str | None, steps: tuple[Step, ...]) -> list[str]:
        _forget_proxies()

        async def work() -> list[str]:
            async with AsyncPinnedSession(pins, **options) as session:
                if proxy:
                    session.proxies = {"https": proxy}
                bodies = []
                for url in urls_of(steps):
                    response = await session.get(url, timeout=PATIENCE)
                    bodies.append(str(response.raise_for_status().text))
                return bodies

        bodies: list[str] = run(work, loop)
        return bodies

    return fetch


def drivers() -> Iterator[Driver]:
    errors = (niquests.exceptions.SSLError, niquests.RequestException)
    http1 = {"disable_http2": True}
    yield Driver("niquests-http1", _with_session(PinnedSession, **http1), *errors)
    yield Driver("niquests-http2", _with_session(PinnedSession), *errors)
    yield Driver("niquests-adapter", _with_session(_plain_session), *errors)
    yield Driver("niquests-asyncio", _with_async_session(AsyncioLoop, **http1), *errors)
    yield Driver("niquests-uvloop-http2", _with_async_session(UvLoop), *errors)
