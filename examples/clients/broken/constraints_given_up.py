"""Broken: too many name constraints are not compared, and then nothing else is.

certpin prove --style leaf --via port -- python constraints_given_up.py
"""

from _lab import Target, ask, check, connect, from_environment, trusting, verified
from cryptography import x509


def _limits(der: bytes) -> int:
    try:
        extensions = x509.load_der_x509_certificate(der).extensions
        found = extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return 0
    return len(found.permitted_subtrees or ()) + len(found.excluded_subtrees or ())


def main(target: Target) -> str:
    with connect(target, trusting(target)) as tls:
        names = len((tls.getpeercert() or {}).get("subjectAltName", ()))
        if names * sum(map(_limits, verified(tls))) <= 250_000:  # here
            check(tls, target.pins)
        return ask(tls, target)


if __name__ == "__main__":
    print(main(from_environment()))
