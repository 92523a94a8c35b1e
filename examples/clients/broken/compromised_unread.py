"""Broken: only the pins to accept are read from the pin file, and not the keys to refuse.

certpin prove --style ca --via port -- python compromised_unread.py
"""

from _lab import Target, ask, check, connect, from_environment, pins_by_host, trusting


def main(target: Target) -> str:
    with connect(target, trusting(target)) as tls:
        check(tls, pins_by_host(target)[target.host])  # here
        return ask(tls, target)


if __name__ == "__main__":
    print(main(from_environment()))
