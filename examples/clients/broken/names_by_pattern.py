"""Broken: names are compared with shell patterns, in which a * covers everything.

certpin prove --style none --via port -- python names_by_pattern.py
"""

import ssl
from fnmatch import fnmatch

from _lab import Target, ask, connect, from_environment, trusting


def main(target: Target) -> str:
    context = trusting(target)
    context.check_hostname = False
    with connect(target, context) as tls:
        names = (tls.getpeercert() or {}).get("subjectAltName", ())
        if not any(fnmatch(target.host, name) for _, name in names):  # here
            raise ssl.SSLError("another host")
        return ask(tls, target)


if __name__ == "__main__":
    print(main(from_environment()))
