"""websocket-client with pins: CERTPIN_PINS=pins.toml python pinned_websocket_client.py HOST PORT"""

import sys
from contextlib import closing

import websocket

import certpin


def main(host: str, port: int) -> None:
    context = certpin.PinnedSSLContext(certpin.PinSet.from_env())
    url = f"wss://{host}:{port}/"
    # Without redirects: one to ws:// would send headers and cookies in clear text.
    with closing(
        websocket.create_connection(url, sslopt={"context": context}, redirect_limit=0)
    ) as connection:
        connection.send("hello")
        print(connection.recv())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
