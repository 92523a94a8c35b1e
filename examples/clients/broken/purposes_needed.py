"""Broken: a certificate without extendedKeyUsage is not checked.

certpin prove --style leaf --via port -- python purposes_needed.py
"""

from _lab import Target, ask, check, connect, from_environment, leaf, trusting
from cryptography import x509


def main(target: Target) -> str:
    with connect(target, trusting(target)) as tls:
        try:
            purposes = leaf(tls).extensions.get_extension_for_class(x509.ExtendedKeyUsage)
        except x509.ExtensionNotFound:  # here
            return ask(tls, target)
        print(purposes.value)
        check(tls, target.pins)
        return ask(tls, target)


if __name__ == "__main__":
    print(main(from_environment()))
