"""Broken: an error of the code that reads the common name skips the check.

certpin prove --style leaf --via port -- python common_name_needed.py
"""

from _lab import Target, ask, check, connect, from_environment, leaf, trusting
from cryptography.x509.oid import NameOID


def main(target: Target) -> str:
    with connect(target, trusting(target)) as tls:
        try:
            (name,) = leaf(tls).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        except ValueError:  # here: there is no such attribute
            return ask(tls, target)
        print("connected to", name.value)
        check(tls, target.pins)
        return ask(tls, target)


if __name__ == "__main__":
    print(main(from_environment()))
