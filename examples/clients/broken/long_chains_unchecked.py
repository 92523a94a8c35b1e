"""Broken: the loop over the chain ends after four certificates without a decision.

certpin prove --style ca --via port -- python long_chains_unchecked.py
"""

import ssl

from _lab import Target, ask, connect, from_environment, pins_of, trusting, verified


def main(target: Target) -> str:
    with connect(target, trusting(target)) as tls:
        for number, der in enumerate(verified(tls), 1):
            if pins_of([der]) & target.pins:
                break
            if number == 4:  # here
                break
        else:
            raise ssl.SSLError("not pinned")
        return ask(tls, target)


if __name__ == "__main__":
    print(main(from_environment()))
