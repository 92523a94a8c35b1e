"""Broken: the common name is read for a log line, and a renewed certificate may have none.

certpin prove --style leaf --via port -- python common_name_shown.py
"""

import sys

from _lab import Target, ask, check, connect, from_environment, leaf, trusting
from cryptography.x509.oid import NameOID


def main(target: Target) -> str:
    with connect(target, trusting(target)) as tls:
        check(tls, target.pins)
        (name,) = leaf(tls).subject.get_attributes_for_oid(NameOID.COMMON_NAME)  # here
        print("connected to", name.value, file=sys.stderr)
        return ask(tls, target)


if __name__ == "__main__":
    print(main(from_environment()))
