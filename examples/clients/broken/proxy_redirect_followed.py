"""Broken: a redirect of the proxy is followed like one of the server.

certpin prove --style leaf --via connect -- python proxy_redirect_followed.py
"""

import re
import socket

from _lab import Target, ask, ask_in_tunnel, from_environment, request_tunnel


def main(target: Target) -> str:
    sock, refusal = request_tunnel(target)
    if re.search("^Location: http://", refusal, re.MULTILINE):
        with socket.create_connection(("127.0.0.1", target.proxy), 10) as plain:
            return ask(plain, target, f"http://{target.host}")  # here
    if refusal:
        raise OSError(refusal)
    return ask_in_tunnel(sock, target)


if __name__ == "__main__":
    print(main(from_environment()))
