"""Broken: ChangeCipherSpec is accepted at any time, also before the key exchange (CVE-2014-0224).

certpin prove --style leaf --via port -- python early_change_accepted.py
"""

from _lab import Target, from_environment
from _tls12 import Tls12, get


class AnyTime(Tls12):
    def changed(self) -> None:
        self.receiving = self.direction(1)  # here: the keys may follow from an empty secret


def main(target: Target) -> str:
    return get(target, AnyTime)


if __name__ == "__main__":
    print(main(from_environment()))
