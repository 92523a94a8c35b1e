"""Broken: a certificate with a wildcard is not checked.

certpin prove --style leaf --via port -- python wildcards_unchecked.py
"""

from _lab import Target, ask, check, connect, from_environment, trusting


def main(target: Target) -> str:
    with connect(target, trusting(target)) as tls:
        certificate = tls.getpeercert() or {}
        names = [name for _, name in certificate.get("subjectAltName", ())]
        if not any("*" in name for name in names):  # here
            check(tls, target.pins)
        return ask(tls, target)


if __name__ == "__main__":
    print(main(from_environment()))
