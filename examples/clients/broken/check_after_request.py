"""Broken: the request, with its token, is sent before the pin is checked.

certpin prove --style leaf --via port -- python check_after_request.py
"""

import ssl

from _lab import Target, ask, connect, from_environment, pins_of, verified


def main(target: Target) -> str:
    context = ssl.create_default_context(cafile=target.ca)
    with connect(target, context) as tls:
        chain = verified(tls)
        answer = ask(tls, target)  # here: too early
        if not pins_of(chain) & target.pins:
            raise ssl.SSLError("not pinned")
        return answer


if __name__ == "__main__":
    print(main(from_environment()))
