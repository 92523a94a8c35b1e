"""Broken: authorities are left out to find the server's certificate, and nothing is left.

certpin prove --style leaf --via port -- python authorities_left_out.py
"""

import ssl

from _lab import Target, ask, connect, from_environment, pins_of, trusting, verified
from cryptography import x509


def _is_authority(der: bytes) -> bool:
    extensions = x509.load_der_x509_certificate(der).extensions
    return extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def main(target: Target) -> str:
    with connect(target, trusting(target)) as tls:
        chain = [der for der in verified(tls) if not _is_authority(der)]
        if not all(pins_of([der]) & target.pins for der in chain):  # here: true for an empty list
            raise ssl.SSLError("not pinned")
        return ask(tls, target)


if __name__ == "__main__":
    print(main(from_environment()))
