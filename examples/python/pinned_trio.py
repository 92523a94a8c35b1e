"""trio with pins: CERTPIN_PINS=pins.toml python pinned_trio.py HOST PORT"""

import sys

import trio

import certpin


async def fetch(host: str, port: int) -> None:
    context = certpin.PinnedSSLContext(certpin.PinSet.from_env())
    stream = await trio.open_ssl_over_tcp_stream(host, port, ssl_context=context)
    async with stream:
        request = f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        await stream.send_all(request.encode())
        print((await stream.receive_some()).decode().splitlines()[0])


def main(host: str, port: int) -> None:
    trio.run(fetch, host, port)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
