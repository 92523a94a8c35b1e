"""Broken: the password of the server answers each request for one, also a proxy's.

certpin prove --style leaf --via connect -- python proxy_given_password.py
"""

import base64

from _lab import Target, ask_in_tunnel, from_environment, request_tunnel


def main(target: Target) -> str:
    sock, refusal = request_tunnel(target)
    if refusal.startswith("HTTP/1.1 407 "):
        password = base64.b64encode(b"user:password of the server").decode()
        sock, refusal = request_tunnel(target, f"Proxy-Authorization: Basic {password}\r\n")  # here
    if refusal:
        raise OSError(refusal)
    return ask_in_tunnel(sock, target)


if __name__ == "__main__":
    print(main(from_environment()))
