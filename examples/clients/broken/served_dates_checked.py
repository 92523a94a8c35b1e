"""Broken: every certificate that the server sends must be valid, also if it is not on the path.

certpin prove --style leaf --via port -- python served_dates_checked.py
"""

import ssl
from datetime import UTC, datetime

from _lab import Target, ask, check, connect, from_environment, served, trusting
from cryptography import x509


def main(target: Target) -> str:
    with connect(target, trusting(target)) as tls:
        check(tls, target.pins)
        now = datetime.now(UTC)
        for certificate in map(x509.load_der_x509_certificate, served(tls)):
            if certificate.not_valid_after_utc < now:  # here
                raise ssl.SSLError("expired")
        return ask(tls, target)


if __name__ == "__main__":
    print(main(from_environment()))
