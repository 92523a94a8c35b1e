"""Broken: the pin must be on the certificate below the root, and a chain may be shorter.

certpin prove --style ca --via port -- python pin_at_position.py
"""

import ssl

from _lab import Target, ask, connect, from_environment, pins_of, trusting, verified


def main(target: Target) -> str:
    with connect(target, trusting(target)) as tls:
        if not pins_of([verified(tls)[-2]]) & target.pins:  # here
            raise ssl.SSLError("not pinned")
        return ask(tls, target)


if __name__ == "__main__":
    print(main(from_environment()))
