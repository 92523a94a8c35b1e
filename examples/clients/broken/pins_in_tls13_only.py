"""Broken: the check is skipped in TLS 1.2.

certpin prove --style leaf --via port -- python pins_in_tls13_only.py
"""

from _lab import Target, ask, check, connect, from_environment, trusting


def main(target: Target) -> str:
    with connect(target, trusting(target)) as tls:
        if tls.version() == "TLSv1.3":  # here
            check(tls, target.pins)
        return ask(tls, target)


if __name__ == "__main__":
    print(main(from_environment()))
