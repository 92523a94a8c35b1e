"""Broken: pins are looked up by the text of the URL, and a host without pins is accepted.

certpin prove --style leaf --via port -- python pins_by_text.py
"""

from _lab import Target, ask, check, connect, from_environment, pins_by_host, trusting


def main(target: Target) -> str:
    pins = pins_by_host(target).get(target.host)  # here: not normalised
    with connect(target, trusting(target)) as tls:
        if pins is not None:
            check(tls, pins)
        return ask(tls, target)


if __name__ == "__main__":
    print(main(from_environment()))
