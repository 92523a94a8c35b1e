"""websockets with pins: CERTPIN_PINS=pins.toml python pinned_websockets.py HOST PORT"""

import asyncio
import sys

import websockets

import certpin


async def talk(host: str, port: int) -> None:
    context = certpin.PinnedSSLContext(certpin.PinSet.from_env())
    async with websockets.connect(f"wss://{host}:{port}/", ssl=context) as websocket:
        await websocket.send("hello")
        print(await websocket.recv())


def main(host: str, port: int) -> None:
    asyncio.run(talk(host, port))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
