"""Broken: pins belong to the port of the first URL, and a redirect leads to another one.

certpin prove --style leaf --via port -- python other_port_unpinned.py
"""

import re

from _lab import Target, ask, check, connect, from_environment, trusting


def main(target: Target) -> str:
    port = target.port
    while True:
        with connect(target, trusting(target), port) as tls:
            if port == target.port:  # here
                check(tls, target.pins)
            answer = ask(tls, target)
        moved = re.search(r"^Location: https://[^/]*:(\d+)/", answer, re.MULTILINE)
        if not moved:
            return answer
        port = int(moved[1])


if __name__ == "__main__":
    print(main(from_environment()))
