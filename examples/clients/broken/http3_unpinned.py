"""Broken: HTTP/3, which the server offers (Alt-Svc), is used without the pins.

certpin prove --style leaf --via port -- python http3_unpinned.py
"""

import re

from _lab import Target, ask, ask_over_quic, check, connect, from_environment, trusting


def main(target: Target) -> str:
    with connect(target, trusting(target)) as tls:
        check(tls, target.pins)
        answer = ask(tls, target)
    offered = re.search(r'^Alt-Svc: h3=":(\d+)"', answer, re.MULTILINE)
    if offered:
        return ask_over_quic(target, int(offered[1]), cafile=target.ca)  # here: no pin is compared
    return answer


if __name__ == "__main__":
    print(main(from_environment()))
