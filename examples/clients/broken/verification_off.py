"""Broken: certificates are not verified at all.

certpin prove --style none --via port -- python verification_off.py
"""

import ssl

from _lab import Target, ask, connect, from_environment


def main(target: Target) -> str:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # here
    with connect(target, context) as tls:
        return ask(tls, target)


if __name__ == "__main__":
    print(main(from_environment()))
