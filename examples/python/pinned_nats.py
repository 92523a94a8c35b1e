"""nats-py with pins: CERTPIN_PINS=pins.toml python pinned_nats.py HOST PORT"""

import asyncio
import sys

import nats

import certpin


async def greet(host: str, port: int) -> None:
    context = certpin.PinnedSSLContext(certpin.PinSet.from_env())
    client = await nats.connect(
        f"tls://{host}:{port}",
        tls=context,
        tls_hostname=host,
        tls_handshake_first=True,  # nothing in clear text, as in the configuration of the server
        allow_reconnect=False,
    )
    await client.publish("greetings", b"hello")
    await client.flush()
    print(client.is_connected)
    await client.close()


def main(host: str, port: int) -> None:
    asyncio.run(greet(host, port))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
