"""niquests with pins, async: CERTPIN_PINS=pins.toml python pinned_niquests.py HOST PORT"""

import asyncio
import sys

import certpin
from certpin.clients.niquests import AsyncPinnedSession


async def fetch(host: str, port: int) -> None:
    pins = certpin.PinSet.from_env()
    async with AsyncPinnedSession(pins) as session:
        response = await session.get(f"https://{host}:{port}/", timeout=10)
        print(response.status_code)


def main(host: str, port: int) -> None:
    asyncio.run(fetch(host, port))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
