"""anyio with pins: CERTPIN_PINS=pins.toml python pinned_anyio.py HOST PORT"""

import sys

import anyio

import certpin


async def fetch(host: str, port: int) -> None:
    context = certpin.PinnedSSLContext(certpin.PinSet.from_env())
    stream = await anyio.connect_tcp(host, port, ssl_context=context, tls_standard_compatible=False)
    async with stream:
        request = f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        await stream.send(request.encode())
        print((await stream.receive()).decode().splitlines()[0])


def main(host: str, port: int) -> None:
    anyio.run(fetch, host, port)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
