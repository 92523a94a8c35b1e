"""Broken: if the handshake takes too long, the request is repeated in clear text.

certpin prove --style leaf --via port -- python http_after_timeout.py
"""

from _lab import Target, ask, check, connect, from_environment, in_clear_text, trusting


def main(target: Target) -> str:
    try:
        with connect(target, trusting(target), timeout=4) as tls:
            check(tls, target.pins)
            return ask(tls, target)
    except TimeoutError:
        return in_clear_text(target)  # here


if __name__ == "__main__":
    print(main(from_environment()))
