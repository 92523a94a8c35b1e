"""Broken: the path must end at a self-signed certificate, and an anchor may be any certificate.

certpin prove --style leaf --via port -- python self_signed_top_needed.py
"""

import ssl

from _lab import Target, ask, check, connect, from_environment, trusting, verified
from cryptography import x509


def main(target: Target) -> str:
    context = trusting(target)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the default since Python 3.13
    with connect(target, context) as tls:
        check(tls, target.pins)
        top = x509.load_der_x509_certificate(verified(tls)[-1])
        if top.issuer != top.subject:  # here
            raise ssl.SSLError("no root")
        return ask(tls, target)


if __name__ == "__main__":
    print(main(from_environment()))
