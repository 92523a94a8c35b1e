"""Broken: the authority is pinned, but the host name in its certificate is not checked.

certpin prove --style ca --via port -- python authority_without_hostname.py
"""

import ssl

from _lab import Target, ask, connect, from_environment, pins_of, verified


def main(target: Target) -> str:
    context = ssl.create_default_context(cafile=target.ca)
    context.check_hostname = False  # here
    with connect(target, context) as tls:
        if not pins_of(verified(tls)) & target.pins:
            raise ssl.SSLError("not pinned")
        return ask(tls, target)


if __name__ == "__main__":
    print(main(from_environment()))
