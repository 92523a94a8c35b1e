"""Broken: each purpose of a certificate is compared, and none is left in an empty list.

certpin prove --style none --via port -- python purposes_compared_one_by_one.py
"""

import re
import ssl

from _lab import Target, ask, by_hand, connect, from_environment, trusting

# OBJECT IDENTIFIER 1.3.6.1.5.5.7.3.x: a purpose
_PURPOSE = re.compile(rb"\x06\x08\x2b\x06\x01\x05\x05\x07\x03(.)", re.DOTALL)


def main(target: Target) -> str:
    context = trusting(target)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with connect(target, context) as tls:
        path = by_hand(tls, target)
        uses = _PURPOSE.findall(path[0].tbs_certificate_bytes)
        if any(use != b"\x01" for use in uses):  # here: 1 is serverAuth
            raise ssl.SSLError("not for servers")
        return ask(tls, target)


if __name__ == "__main__":
    print(main(from_environment()))
