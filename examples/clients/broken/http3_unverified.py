"""Broken: HTTP/3, which the server offers, is used without any check of certificates.

certpin prove --style leaf --via port -- python http3_unverified.py
"""

import ssl

from _lab import Target, ask_and_follow, from_environment


def main(target: Target) -> str:
    return ask_and_follow(target, verify_mode=ssl.CERT_NONE)  # here: over HTTP/3


if __name__ == "__main__":
    print(main(from_environment()))
