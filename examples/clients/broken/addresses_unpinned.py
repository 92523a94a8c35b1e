"""Broken: addresses have no name, and so no pins.

certpin prove --style leaf --via port -- python addresses_unpinned.py
"""

import re

from _lab import Target, ask, check, connect, from_environment, trusting


def main(target: Target) -> str:
    with connect(target, trusting(target)) as tls:
        if not re.fullmatch(r"[0-9.]+|[0-9a-f:]+", target.host):  # here
            check(tls, target.pins)
        return ask(tls, target)


if __name__ == "__main__":
    print(main(from_environment()))
