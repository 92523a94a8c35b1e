"""Broken: the signature of the server's part of the key exchange is not verified (CVE-2014-1266).

certpin prove --style leaf --via port -- python key_not_proven.py
"""

from _lab import Target, from_environment
from _tls12 import Tls12, get


class Unsigned(Tls12):
    def check_signature(self, key: object, parameters: bytes) -> None:
        return  # here: everyone has the certificate, and with it the pinned key


def main(target: Target) -> str:
    return get(target, Unsigned)


if __name__ == "__main__":
    print(main(from_environment()))
