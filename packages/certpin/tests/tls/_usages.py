"""Functions that connect with a pinned context, through certpin's adapters or plain libraries.

The programs of ``_patched.py`` run them. All imports are inside functions, so that they come after
the patches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

HOST = "127.0.0.1"
PATIENCE = 10.0


def _url(port: int) -> str:
    return f"https://{HOST}:{port}/"


def _http_client(context: Any, port: int) -> object:
    from http.client import HTTPSConnection

    import certpin

    connection: Any = HTTPSConnection(HOST, port, context=context, timeout=PATIENCE)
    connection.request("GET", "/")
    assert certpin.assert_pinned(connection, HOST) is connection.sock.pin_verdict
    assert connection.sock.pin_checked
    return connection.getresponse().status


def _urllib3(context: Any, port: int) -> object:
    import urllib3

    with urllib3.PoolManager(ssl_context=context, retries=False, timeout=PATIENCE) as http:
        return http.request("GET", _url(port)).status


def _pinned_urllib3(context: Any, port: int) -> object:
    from certpin.clients.urllib3 import PinnedPoolManager

    with PinnedPoolManager(context, timeout=PATIENCE) as http:
        return http.request("GET", _url(port)).status


def _pinned_requests(context: Any, port: int) -> object:
    from certpin.clients.requests import PinnedSession

    with PinnedSession(context) as session:
        return session.get(_url(port), timeout=PATIENCE).status_code


def _httpx(context: Any, port: int) -> object:
    import httpx

    with httpx.Client(verify=context, trust_env=False, timeout=PATIENCE) as client:
        return client.get(_url(port)).status_code


def _pinned_httpx(context: Any, port: int) -> object:
    from certpin.clients.httpx import PinnedClient

    with PinnedClient(context, trust_env=False, timeout=PATIENCE) as client:
        return client.get(_url(port)).status_code


def _pinned_httpx2(context: Any, port: int) -> object:
    from certpin.clients.httpx2 import PinnedClient

    with PinnedClient(context, trust_env=False, timeout=PATIENCE) as client:
        return client.get(_url(port)).status_code


def _urllib_request(context: Any, port: int) -> object:
    from certpin.clients.stdlib import opener

    with opener(context, proxies={}).open(_url(port), timeout=PATIENCE) as response:
        return response.status


def _asyncio(context: Any, port: int) -> object:
    import asyncio

    import certpin

    async def run() -> int:
        reader, writer = await asyncio.open_connection(HOST, port)
        await writer.start_tls(context, server_hostname=HOST)
        certpin.assert_pinned(writer, HOST)
        answer = await reader.readline()
        writer.transport.abort()
        return int(answer.split()[1])

    return asyncio.run(run())


def _aiohttp(context: Any, port: int) -> object:
    import aiohttp

    return _with_aiohttp(lambda: aiohttp.TCPConnector(ssl=context), port)


def _pinned_aiohttp(context: Any, port: int) -> object:
    from certpin.clients.aiohttp import PinnedConnector

    return _with_aiohttp(lambda: PinnedConnector(context), port)


def _with_aiohttp(connector: Callable[[], Any], port: int) -> int:
    import asyncio

    import aiohttp

    async def run() -> int:
        async with (
            aiohttp.ClientSession(connector=connector()) as session,
            session.get(_url(port)) as response,
        ):
            return response.status

    return asyncio.run(run())


USAGES: dict[str, Callable[[Any, int], object]] = {
    "http.client": _http_client,
    "urllib3": _urllib3,
    "certpin.clients.urllib3": _pinned_urllib3,
    "certpin.clients.requests": _pinned_requests,
    "httpx": _httpx,
    "certpin.clients.httpx": _pinned_httpx,
    "certpin.clients.httpx2": _pinned_httpx2,
    "certpin.clients.stdlib": _urllib_request,
    "asyncio": _asyncio,
    "aiohttp": _aiohttp,
    "certpin.clients.aiohttp": _pinned_aiohttp,
}
# Those without asyncio: gevent and eventlet don't replace its event loop.
BLOCKING = ("http.client", "urllib3", "certpin.clients.requests", "httpx")
