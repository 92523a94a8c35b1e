"""http.client with pins: CERTPIN_PINS=pins.toml python pinned_http_client.py HOST PORT"""

import sys
from contextlib import closing
from http.client import HTTPSConnection

import certpin


def main(host: str, port: int) -> None:
    context = certpin.PinnedSSLContext(certpin.PinSet.from_env())
    with closing(HTTPSConnection(host, port, context=context, timeout=10)) as connection:
        connection.request("GET", "/")
        print(connection.getresponse().status)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
