"""Broken: the pin is searched among the certificates that the server sent.

certpin prove --style leaf --via port -- python pin_over_served_chain.py
"""

import ssl

from _lab import Target, ask, connect, from_environment, pins_of, served


def main(target: Target) -> str:
    context = ssl.create_default_context(cafile=target.ca)
    with connect(target, context) as tls:
        if not pins_of(served(tls)) & target.pins:  # here: not the verified path
            raise ssl.SSLError("not pinned")
        return ask(tls, target)


if __name__ == "__main__":
    print(main(from_environment()))
