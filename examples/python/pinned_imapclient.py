"""IMAPClient with pins: CERTPIN_PINS=pins.toml python pinned_imapclient.py HOST PORT"""

import sys

from imapclient import IMAPClient

import certpin


def main(host: str, port: int) -> None:
    context = certpin.PinnedSSLContext(certpin.PinSet.from_env())
    client = IMAPClient(host, port, ssl=False, timeout=10)
    client.starttls(context)  # outside of "with", because its LOGOUT would hide a refusal
    with client:
        print(client.capabilities())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
