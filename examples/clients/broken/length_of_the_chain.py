"""Broken: a chain with the usual number of certificates is accepted.

certpin prove --style ca --via port -- python length_of_the_chain.py
"""

import ssl

from _lab import Target, ask, connect, from_environment, trusting, verified


def main(target: Target) -> str:
    with connect(target, trusting(target)) as tls:
        if len(verified(tls)) != 3:  # here: leaf, intermediate, root
            raise ssl.SSLError("not the usual chain")
        return ask(tls, target)


if __name__ == "__main__":
    print(main(from_environment()))
