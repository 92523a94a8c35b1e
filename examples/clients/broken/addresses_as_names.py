"""Broken: an address is searched among all names of the certificate, also those of DNS.

certpin prove --style none --via port -- python addresses_as_names.py
"""

import ipaddress
import ssl

from _lab import Target, ask, connect, from_environment, is_address, trusting


def text(kind: str, name: str) -> str:
    return str(ipaddress.ip_address(name.strip())) if kind == "IP Address" else name


def main(target: Target) -> str:
    context = trusting(target)
    context.check_hostname = not is_address(target.host)
    with connect(target, context) as tls:
        names = (tls.getpeercert() or {}).get("subjectAltName", ())
        addresses = [text(kind, name) for kind, name in names]  # here: of every kind
        if not context.check_hostname and target.host not in addresses:
            raise ssl.SSLError("another host")
        return ask(tls, target)


if __name__ == "__main__":
    print(main(from_environment()))
