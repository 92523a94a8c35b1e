"""Broken: the pinned root is recognised by its name, and another root may have the same one.

certpin prove --style ca --via port -- python root_name_compared.py
"""

from _lab import Target, ask, check, connect, from_environment, trusting, verified
from cryptography import x509


def main(target: Target) -> str:
    pinned = x509.load_pem_x509_certificate(target.certificate.encode())
    with connect(target, trusting(target)) as tls:
        path = [x509.load_der_x509_certificate(der) for der in verified(tls)]
        if any(each.subject == pinned.issuer for each in path):  # here
            return ask(tls, target)
        check(tls, target.pins)
        return ask(tls, target)


if __name__ == "__main__":
    print(main(from_environment()))
