"""Broken: the path is followed by its names, because the pin of the key seems to be enough.

certpin prove --style leaf --via port -- python signatures_unchecked.py
"""

import ssl

from _lab import Target, ask, by_hand, connect, from_environment, pins_of, served, trusting


def main(target: Target) -> str:
    context = trusting(target)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with connect(target, context) as tls:
        by_hand(tls, target, signed=False)  # here
        if not pins_of(served(tls)[:1]) & target.pins:
            raise ssl.SSLError("not pinned")
        return ask(tls, target)


if __name__ == "__main__":
    print(main(from_environment()))
