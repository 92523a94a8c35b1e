"""Broken: the check belongs to the negotiated protocol, and there may be none.

certpin prove --style leaf --via port -- python pins_need_alpn.py
"""

from _lab import Target, ask, check, connect, from_environment, trusting


def main(target: Target) -> str:
    context = trusting(target)
    context.set_alpn_protocols(["http/1.1"])
    with connect(target, context) as tls:
        if tls.selected_alpn_protocol() == "http/1.1":  # here
            check(tls, target.pins)
        return ask(tls, target)


if __name__ == "__main__":
    print(main(from_environment()))
