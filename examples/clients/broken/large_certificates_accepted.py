"""Broken: a certificate with too many names is not checked.

certpin prove --style leaf --via port -- python large_certificates_accepted.py
"""

from _lab import Target, ask, check, connect, from_environment, trusting


def main(target: Target) -> str:
    with connect(target, trusting(target)) as tls:
        names = (tls.getpeercert() or {}).get("subjectAltName", ())
        if len(names) < 1000:  # here
            check(tls, target.pins)
        return ask(tls, target)


if __name__ == "__main__":
    print(main(from_environment()))
