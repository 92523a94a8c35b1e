"""Broken: the pins of all hosts are in one pool.

certpin prove --style leaf --via port -- python one_pool_of_pins.py
"""

from _lab import Target, ask, check, connect, from_environment, pins_by_host, trusting


def main(target: Target) -> str:
    pool = set().union(*pins_by_host(target).values())  # here
    with connect(target, trusting(target)) as tls:
        check(tls, pool)
        return ask(tls, target)


if __name__ == "__main__":
    print(main(from_environment()))
