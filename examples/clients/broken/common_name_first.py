"""Broken: the common name is compared before the names in the SAN.

certpin prove --style none --via port -- python common_name_first.py
"""

import ssl

from _lab import Target, ask, connect, from_environment, leaf, trusting


def main(target: Target) -> str:
    context = trusting(target)
    context.check_hostname = False
    with connect(target, context) as tls:
        names = [name.value for name in leaf(tls).subject]  # here
        names += [name for kind, name in (tls.getpeercert() or {}).get("subjectAltName", ())]
        if target.host not in names:
            raise ssl.SSLError("another host")
        return ask(tls, target)


if __name__ == "__main__":
    print(main(from_environment()))
