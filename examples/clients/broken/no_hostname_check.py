"""Broken: the chain is verified, but the host name in the certificate is not checked.

certpin prove --style none --via port -- python no_hostname_check.py
"""

import ssl

from _lab import Target, ask, connect, from_environment


def main(target: Target) -> str:
    context = ssl.create_default_context(cafile=target.ca)
    context.check_hostname = False  # here
    with connect(target, context) as tls:
        return ask(tls, target)


if __name__ == "__main__":
    print(main(from_environment()))
