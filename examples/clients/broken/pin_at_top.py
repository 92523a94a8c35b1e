"""Broken: the pin must be on the top of the path, which depends on the client's trust store.

certpin prove --style ca --via port -- python pin_at_top.py
"""

import ssl

from _lab import Target, ask, connect, from_environment, pins_of, trusting, verified


def main(target: Target) -> str:
    with connect(target, trusting(target)) as tls:
        if not pins_of([verified(tls)[-1]]) & target.pins:  # here
            raise ssl.SSLError("not pinned")
        return ask(tls, target)


if __name__ == "__main__":
    print(main(from_environment()))
