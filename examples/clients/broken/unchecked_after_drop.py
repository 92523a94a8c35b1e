"""Broken: if the connection is closed in the handshake, it is repeated without a check.

certpin prove --style leaf --via port -- python unchecked_after_drop.py
"""

import ssl

from _lab import Target, ask, check, connect, from_environment, trusting


def main(target: Target) -> str:
    try:
        with connect(target, trusting(target)) as tls:
            check(tls, target.pins)
            return ask(tls, target)
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError):  # the second before Python 3.11.4
        with connect(target, trusting(target)) as tls:  # here
            return ask(tls, target)


if __name__ == "__main__":
    print(main(from_environment()))
