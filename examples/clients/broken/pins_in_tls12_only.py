"""Broken: the check is skipped in TLS 1.3.

certpin prove --tls 1.2 --style leaf --via port -- python pins_in_tls12_only.py
"""

from _lab import Target, ask, check, connect, from_environment, trusting


def main(target: Target) -> str:
    with connect(target, trusting(target)) as tls:
        if tls.version() == "TLSv1.2":  # here
            check(tls, target.pins)
        return ask(tls, target)


if __name__ == "__main__":
    print(main(from_environment()))
