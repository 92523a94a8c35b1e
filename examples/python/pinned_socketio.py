"""python-socketio with pins: CERTPIN_PINS=pins.toml python pinned_socketio.py HOST PORT"""

import socket
import sys

import socketio

import certpin
from certpin.clients.requests import PinnedSession


def require_pins(context: certpin.PinnedSSLContext, host: str, port: int) -> None:
    """Raise the refusal. python-socketio would keep its text only, in another error."""
    with (
        socket.create_connection((host, port), timeout=10) as sock,
        context.wrap_socket(sock, server_hostname=host) as tls,
    ):
        certpin.assert_pinned(tls, host)


def main(host: str, port: int) -> None:
    pins = certpin.PinSet.from_env()
    with PinnedSession(pins) as session:
        require_pins(session.context, host, port)
        client = socketio.Client(
            http_session=session,
            websocket_extra_options={"sslopt": {"context": session.context}},
            reconnection=False,
        )
        client.connect(f"https://{host}:{port}")
        print(client.transport())
        client.disconnect()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
