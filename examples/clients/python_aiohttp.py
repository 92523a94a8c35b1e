"""aiohttp, with certpin and without it: certpin prove -- python python_aiohttp.py pinned {url}"""

import asyncio
import os
import ssl
import sys

import aiohttp

import certpin
from certpin.clients.aiohttp import PinnedConnector


def pinned(url: str, proxy: str) -> str:
    return asyncio.run(_get(url, proxy, lambda: PinnedConnector(certpin.PinSet.from_env())))


def unpinned(url: str, proxy: str) -> str:
    context = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
    return asyncio.run(_get(url, proxy, lambda: aiohttp.TCPConnector(ssl=context)))


async def _get(url: str, proxy: str, make) -> str:
    async with (
        aiohttp.ClientSession(connector=make()) as session,
        session.get(url, proxy=proxy) as response,
    ):
        return await response.text()


if __name__ == "__main__":
    print(
        {"pinned": pinned, "unpinned": unpinned}[sys.argv[1]](
            sys.argv[2], os.environ["HTTPS_PROXY"]
        )
    )
