"""httpx2 with pins, async: CERTPIN_PINS=pins.toml python pinned_httpx2.py HOST PORT"""

import asyncio
import sys

import certpin
from certpin.clients.httpx2 import AsyncPinnedClient


async def fetch(host: str, port: int) -> None:
    pins = certpin.PinSet.from_env()
    async with AsyncPinnedClient(pins) as client:
        response = await client.get(f"https://{host}:{port}/")
        print(response.status_code)


def main(host: str, port: int) -> None:
    asyncio.run(fetch(host, port))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
