"""httpx with pins: CERTPIN_PINS=pins.toml python pinned_httpx.py HOST PORT"""

import sys

import certpin
from certpin.clients.httpx import PinnedClient


def main(host: str, port: int) -> None:
    pins = certpin.PinSet.from_env()
    with PinnedClient(pins, http2=True, follow_redirects=True) as client:
        response = client.get(f"https://{host}:{port}/")
        print(response.http_version, response.status_code)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
