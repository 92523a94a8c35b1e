"""Broken: only the first characters of a pin are compared.

certpin prove --style leaf --via port -- python pins_compared_in_part.py
"""

import ssl

from _lab import Target, ask, connect, from_environment, pins_of, trusting, verified

_LENGTH = len("sha256/") + 3  # here: as its log prints them


def main(target: Target) -> str:
    with connect(target, trusting(target)) as tls:
        known = {pin[:_LENGTH] for pin in target.pins}
        if not any(pin[:_LENGTH] in known for pin in pins_of(verified(tls))):
            raise ssl.SSLError("not pinned")
        return ask(tls, target)


if __name__ == "__main__":
    print(main(from_environment()))
