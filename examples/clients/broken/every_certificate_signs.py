"""Broken: each signature of the chain is verified, and not that its signer is an authority.

certpin prove --style none --via port -- python every_certificate_signs.py
"""

import ssl

from _lab import Target, ask, by_hand, connect, from_environment, trusting


def main(target: Target) -> str:
    context = trusting(target)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with connect(target, context) as tls:
        by_hand(tls, target, authorities=False)  # here
        return ask(tls, target)


if __name__ == "__main__":
    print(main(from_environment()))
