"""Broken: a host counts as checked before its pin is compared, and a failed request is repeated.

certpin prove --style leaf --via port -- python remembered_before_check.py
"""

import ssl

from _lab import Target, ask, check, connect, from_environment, trusting


def fetch(target: Target, checked: set[str]) -> str:
    with connect(target, trusting(target)) as tls:
        if target.host not in checked:
            checked.add(target.host)  # here: before the check
            check(tls, target.pins)
        return ask(tls, target)


def main(target: Target) -> str:
    checked: set[str] = set()
    try:
        return fetch(target, checked)
    except ssl.SSLError:
        return fetch(target, checked)


if __name__ == "__main__":
    print(main(from_environment()))
