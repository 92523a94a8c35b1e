"""Broken: the certificate of an https:// proxy is not verified.

certpin prove --style leaf --via connect -- python https_proxy_any_certificate.py
"""

import ssl

from _lab import Target, ask_in_tunnel, from_environment, open_tunnel


def main(target: Target) -> str:
    proxy = ssl.create_default_context()
    proxy.check_hostname = False
    proxy.verify_mode = ssl.CERT_NONE  # here
    return ask_in_tunnel(open_tunnel(target, proxy), target)


if __name__ == "__main__":
    print(main(from_environment()))
