"""urllib.request with pins: CERTPIN_PINS=pins.toml python pinned_urllib_request.py HOST PORT"""

import sys

import certpin
from certpin.clients.stdlib import opener


def main(host: str, port: int) -> None:
    pins = certpin.PinSet.from_env()
    with opener(pins).open(f"https://{host}:{port}/", timeout=10) as response:
        print(response.status)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
