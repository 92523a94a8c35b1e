"""Broken: HTTP/3, which the server may begin to offer, knows other roots than the client.

certpin prove --style leaf --via port -- python http3_other_roots.py
"""

import re

from _lab import Target, ask, ask_over_quic, check, connect, from_environment, trusting


def main(target: Target) -> str:
    with connect(target, trusting(target)) as tls:
        check(tls, target.pins)
        answer = ask(tls, target)
    offered = re.search(r'^Alt-Svc: h3=":(\d+)"', answer, re.MULTILINE)
    if offered:
        return ask_over_quic(target, int(offered[1]))  # here: its own roots
    return answer


if __name__ == "__main__":
    print(main(from_environment()))
