"""Broken: its requests are pinned, and its WebSocket is made by another library without pins.

certpin prove --style leaf --via port -- python websocket_unpinned.py
"""

import base64
import os

from _lab import Target, ask, check, connect, from_environment, trusting


def main(target: Target) -> str:
    for _ in range(3):
        with connect(target, trusting(target)) as tls:
            check(tls, target.pins)
            ask(tls, target)
    context = trusting(target)  # here: no pins
    context.set_alpn_protocols(["http/1.1"])  # as most WebSocket libraries do
    key = base64.b64encode(os.urandom(16)).decode()
    with connect(target, context) as tls:
        tls.sendall(
            f"GET /{target.canary} HTTP/1.1\r\nHost: {target.host}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        return tls.recv(4096).decode(errors="replace")


if __name__ == "__main__":
    print(main(from_environment()))
