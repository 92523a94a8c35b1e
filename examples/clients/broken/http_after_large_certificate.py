"""Broken: a certificate that is too large leads to a request in clear text.

certpin prove --style leaf --via port -- python http_after_large_certificate.py
"""

import ssl

from _lab import Target, ask, check, connect, from_environment, in_clear_text, trusting


def main(target: Target) -> str:
    try:
        with connect(target, trusting(target)) as tls:
            check(tls, target.pins)
            return ask(tls, target)
    except ssl.SSLError as exc:
        if exc.reason != "EXCESSIVE_MESSAGE_SIZE":
            raise
        return in_clear_text(target)  # here


if __name__ == "__main__":
    print(main(from_environment()))
