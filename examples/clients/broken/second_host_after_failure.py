"""Broken: if the host fails, the request is repeated at the second host, without pins.

certpin prove --style leaf --via port -- python second_host_after_failure.py
"""

from dataclasses import replace

from _lab import Target, ask, check, connect, from_environment, pins_by_host, trusting


def main(target: Target) -> str:
    try:
        with connect(target, trusting(target)) as tls:
            check(tls, target.pins)
            return ask(tls, target)
    except OSError:  # also an ssl.SSLError
        _, host = pins_by_host(target)
        second = replace(target, host=host)
        with connect(second, trusting(second)) as tls:  # here
            return ask(tls, second)


if __name__ == "__main__":
    print(main(from_environment()))
