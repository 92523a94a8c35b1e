"""requests with pins: CERTPIN_PINS=pins.toml python pinned_requests.py HOST PORT"""

import sys

import certpin
from certpin.clients.requests import PinnedSession


def main(host: str, port: int) -> None:
    pins = certpin.PinSet.from_env()
    with PinnedSession(pins) as session:
        response = session.get(f"https://{host}:{port}/", timeout=10)
        print(response.status_code)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
