"""Broken: the security level was lowered for an old server, and a key of 512 bits is accepted.

certpin prove --style none --via port -- python security_level_0.py
"""

from _lab import Target, ask, connect, from_environment, trusting


def main(target: Target) -> str:
    context = trusting(target)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")  # here
    with connect(target, context) as tls:
        return ask(tls, target)


if __name__ == "__main__":
    print(main(from_environment()))
