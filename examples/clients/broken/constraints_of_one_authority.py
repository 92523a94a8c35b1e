"""Broken: only the name constraints of the leaf's issuer are compared.

certpin prove --style none --via port -- python constraints_of_one_authority.py
"""

import ssl

from _lab import Target, ask, by_hand, connect, from_environment, trusting
from cryptography import x509


def main(target: Target) -> str:
    context = trusting(target)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with connect(target, context) as tls:
        path = by_hand(tls, target)
        for extension in path[1].extensions:  # here: not of those above it
            limits = extension.value
            if not isinstance(limits, x509.NameConstraints):
                continue
            if x509.DNSName(target.host) not in (limits.permitted_subtrees or ()):
                raise ssl.SSLError("the authority may not issue for this host")
        return ask(tls, target)


if __name__ == "__main__":
    print(main(from_environment()))
