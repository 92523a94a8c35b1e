"""Broken: the pin file requires Certificate Transparency, and only its pins are read.

certpin prove --style leaf --via port --case no-scts --case unknown-logs -- python logs_unread.py
"""

from _lab import Target, ask, check, connect, from_environment, pins_by_host, trusting


def main(target: Target) -> str:
    with connect(target, trusting(target)) as tls:
        check(tls, pins_by_host(target)[target.host])  # here: not require_ct
        return ask(tls, target)


if __name__ == "__main__":
    print(main(from_environment()))
