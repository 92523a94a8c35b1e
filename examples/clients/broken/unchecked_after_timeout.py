"""Broken: if the handshake takes too long, it is repeated without a check.

certpin prove --style leaf --via port -- python unchecked_after_timeout.py
"""

from _lab import Target, ask, check, connect, from_environment, trusting


def main(target: Target) -> str:
    try:
        with connect(target, trusting(target), timeout=4) as tls:
            check(tls, target.pins)
            return ask(tls, target)
    except TimeoutError:
        with connect(target, trusting(target)) as tls:  # here
            return ask(tls, target)


if __name__ == "__main__":
    print(main(from_environment()))
