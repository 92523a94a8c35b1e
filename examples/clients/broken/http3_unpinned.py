"""Broken: HTTP/3, which the server offers (Alt-Svc), is used without the pins.

certpin prove --style leaf --via port -- python http3_unpinned.py
"""

from _lab import Target, ask_and_follow, from_environment


def main(target: Target) -> str:
    return ask_and_follow(target, cafile=target.ca)  # here: no pin is compared over HTTP/3


if __name__ == "__main__":
    print(main(from_environment()))
