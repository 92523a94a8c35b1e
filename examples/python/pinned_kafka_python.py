"""kafka-python with pins: CERTPIN_PINS=pins.toml python pinned_kafka_python.py HOST PORT"""

import socket
import sys

from kafka import KafkaProducer

import certpin


def require_pins(context: certpin.PinnedSSLContext, host: str, port: int) -> None:
    """Raise the refusal. kafka-python would log it, try again, and raise something else."""
    with (
        socket.create_connection((host, port), timeout=10) as sock,
        context.wrap_socket(sock, server_hostname=host) as tls,
    ):
        certpin.assert_pinned(tls, host)


def main(host: str, port: int) -> None:
    context = certpin.PinnedSSLContext(certpin.PinSet.from_env())
    require_pins(context, host, port)
    producer = KafkaProducer(
        bootstrap_servers=f"{host}:{port}",
        bootstrap_timeout_ms=2000,
        security_protocol="SSL",
        ssl_context=context,
    )
    try:
        print(producer.send("greetings", b"hello").get(timeout=10))
    finally:
        producer.close(timeout=0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
