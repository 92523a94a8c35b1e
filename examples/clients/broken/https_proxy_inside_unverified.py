"""Broken: behind a verified https:// proxy, nothing else is verified.

certpin prove --style leaf --via connect -- python https_proxy_inside_unverified.py
"""

import ssl

from _lab import Target, ask, ask_in_tunnel, begin_tls, from_environment, open_tunnel


def main(target: Target) -> str:
    sock = open_tunnel(target)
    if not target.tls_proxy:
        return ask_in_tunnel(sock, target)
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # here
    with begin_tls(sock, target, context) as tls:
        return ask(tls, target)


if __name__ == "__main__":
    print(main(from_environment()))
