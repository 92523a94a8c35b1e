"""pika with pins: CERTPIN_PINS=pins.toml python pinned_pika.py HOST PORT"""

import sys

import pika

import certpin


def main(host: str, port: int) -> None:
    context = certpin.PinnedSSLContext(certpin.PinSet.from_env())
    parameters = pika.ConnectionParameters(
        host, port, ssl_options=pika.SSLOptions(context, host), connection_attempts=1
    )
    connection = pika.BlockingConnection(parameters)
    print(connection.is_open)
    connection.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
