"""Broken: a certificate with the issuer and the serial number of the pinned one is accepted.

certpin prove --style leaf --via port -- python serial_number_compared.py
"""

from _lab import Target, ask, check, connect, from_environment, leaf, trusting
from cryptography import x509


def main(target: Target) -> str:
    with connect(target, trusting(target)) as tls:
        pinned = x509.load_pem_x509_certificate(target.certificate.encode())
        shown = leaf(tls)
        if (shown.issuer, shown.serial_number) == (pinned.issuer, pinned.serial_number):  # here
            return ask(tls, target)
        check(tls, target.pins)
        return ask(tls, target)


if __name__ == "__main__":
    print(main(from_environment()))
