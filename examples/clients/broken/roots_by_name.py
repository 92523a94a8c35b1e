"""Broken: the root is found by its name only, and two roots may have the same one.

certpin prove --style leaf --via port -- python roots_by_name.py
"""

from pathlib import Path

from _lab import Target, ask, check, connect, from_environment, served, trusting
from cryptography import x509


def main(target: Target) -> str:
    with connect(target, trusting(target)) as tls:
        check(tls, target.pins)
        last = x509.load_der_x509_certificate(served(tls)[-1])
        roots = x509.load_pem_x509_certificates(Path(target.ca).read_bytes())
        named = [root for root in roots if root.subject == last.issuer]
        for root in named[:1]:  # here
            last.verify_directly_issued_by(root)
        return ask(tls, target)


if __name__ == "__main__":
    print(main(from_environment()))
