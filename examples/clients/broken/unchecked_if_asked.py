"""Broken: pins are left out on connections with a client certificate, which identify the user.

certpin prove --style leaf --via port -- python unchecked_if_asked.py
"""

from _lab import Target, from_environment
from _tls12 import Tls12, get


class Mutual(Tls12):
    def check_pins(self, path: list) -> None:
        if not self.asked:  # here: each server may request one
            super().check_pins(path)


def main(target: Target) -> str:
    return get(target, Mutual)


if __name__ == "__main__":
    print(main(from_environment()))
