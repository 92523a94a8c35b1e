"""Broken: it claims to pin, and accepts any authority of the trust store.

certpin prove --style leaf --via port -- python any_authority.py
"""

import ssl

from _lab import Target, ask, connect, from_environment


def main(target: Target) -> str:
    context = ssl.create_default_context(cafile=target.ca)  # here: no pins
    with connect(target, context) as tls:
        return ask(tls, target)


if __name__ == "__main__":
    print(main(from_environment()))
