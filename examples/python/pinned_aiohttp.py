"""aiohttp with pins: CERTPIN_PINS=pins.toml python pinned_aiohttp.py HOST PORT"""

import asyncio
import sys

import aiohttp

import certpin
from certpin.clients.aiohttp import PinnedConnector


async def fetch(host: str, port: int) -> None:
    connector = PinnedConnector(certpin.PinSet.from_env())
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get(f"https://{host}:{port}/") as response,
    ):
        print(response.status)


def main(host: str, port: int) -> None:
    asyncio.run(fetch(host, port))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
