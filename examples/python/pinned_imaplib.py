"""imaplib with pins, after STARTTLS: CERTPIN_PINS=pins.toml python pinned_imaplib.py HOST PORT"""

import imaplib
import sys

import certpin


def main(host: str, port: int) -> None:
    context = certpin.PinnedSSLContext(certpin.PinSet.from_env())
    imap = imaplib.IMAP4(host, port, timeout=10)
    imap.starttls(ssl_context=context)  # outside of "with", because its LOGOUT would hide a refusal
    with imap:
        print(imap.capability())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
