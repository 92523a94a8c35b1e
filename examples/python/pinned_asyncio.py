"""asyncio streams with pins: CERTPIN_PINS=pins.toml python pinned_asyncio.py HOST PORT"""

import asyncio
import sys

import certpin


async def fetch(host: str, port: int) -> None:
    context = certpin.PinnedSSLContext(certpin.PinSet.from_env())
    reader, writer = await asyncio.open_connection(host, port, ssl=context)
    writer.write(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    print((await reader.readline()).decode().strip())
    writer.close()
    await writer.wait_closed()


def main(host: str, port: int) -> None:
    asyncio.run(fetch(host, port))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
