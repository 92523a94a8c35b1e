"""Broken: the pin is checked only on the first connection.

certpin prove --style leaf --via port -- python pin_checked_once.py
"""

import ssl

from _lab import Target, ask, connect, from_environment, pins_of, verified


def main(target: Target) -> str:
    context = ssl.create_default_context(cafile=target.ca)
    checked = False
    for _ in range(2):
        with connect(target, context) as tls:
            if not checked and not pins_of(verified(tls)) & target.pins:  # here
                raise ssl.SSLError("not pinned")
            checked = True
            answer = ask(tls, target)
    return answer


if __name__ == "__main__":
    print(main(from_environment()))
