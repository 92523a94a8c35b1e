"""urllib3 with pins: CERTPIN_PINS=pins.toml python pinned_urllib3.py HOST PORT"""

import sys

import certpin
from certpin.clients.urllib3 import PinnedPoolManager


def main(host: str, port: int) -> None:
    pins = certpin.PinSet.from_env()
    with PinnedPoolManager(pins) as http:
        response = http.request("GET", f"https://{host}:{port}/")
        print(response.status)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
