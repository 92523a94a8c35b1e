"""Broken: if the server closes in the handshake, the request is repeated in clear text.

certpin prove --style leaf --via port -- python http_after_close.py
"""

import ssl

from _lab import Target, ask, check, connect, from_environment, in_clear_text, trusting


def main(target: Target) -> str:
    try:
        with connect(target, trusting(target)) as tls:
            check(tls, target.pins)
            return ask(tls, target)
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError):  # the second before Python 3.11.4
        return in_clear_text(target)  # here


if __name__ == "__main__":
    print(main(from_environment()))
