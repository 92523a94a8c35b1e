"""xmlrpc.client with pins: CERTPIN_PINS=pins.toml python pinned_xmlrpc.py HOST PORT"""

import sys
from xmlrpc.client import ServerProxy

import certpin


def main(host: str, port: int) -> None:
    context = certpin.PinnedSSLContext(certpin.PinSet.from_env())
    with ServerProxy(f"https://{host}:{port}/", context=context) as server:
        print(server.system.listMethods())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
