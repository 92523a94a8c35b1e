"""Broken: HTTP/3, which the server may begin to offer, knows other roots than the client.

certpin prove --style leaf --via port -- python http3_other_roots.py
"""

from _lab import Target, ask_and_follow, from_environment


def main(target: Target) -> str:
    return ask_and_follow(target)  # here: HTTP/3 has its own roots


if __name__ == "__main__":
    print(main(from_environment()))
