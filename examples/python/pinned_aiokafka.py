"""aiokafka with pins: CERTPIN_PINS=pins.toml python pinned_aiokafka.py HOST PORT"""

import asyncio
import socket
import sys

from aiokafka import AIOKafkaProducer

import certpin


def require_pins(context: certpin.PinnedSSLContext, host: str, port: int) -> None:
    """Raise the refusal. aiokafka would log it, try again, and raise something else."""
    with (
        socket.create_connection((host, port), timeout=10) as sock,
        context.wrap_socket(sock, server_hostname=host) as tls,
    ):
        certpin.assert_pinned(tls, host)


async def produce(host: str, port: int) -> None:
    context = certpin.PinnedSSLContext(certpin.PinSet.from_env())
    await asyncio.to_thread(require_pins, context, host, port)
    producer = AIOKafkaProducer(
        bootstrap_servers=f"{host}:{port}", security_protocol="SSL", ssl_context=context
    )
    try:
        await producer.start()
        print(await producer.send_and_wait("greetings", b"hello"))
    finally:
        await producer.stop()


def main(host: str, port: int) -> None:
    asyncio.run(produce(host, port))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
