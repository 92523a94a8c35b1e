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
            # Without redirects: one to ws:// would send headers and cookies in clear text.
            websocket_extra_options={"sslopt": {"context": session.context}, "redirect_limit": 0},
            reconnection=False,
        )
        client.connect(f"https://{host}:{port}")
        print(client.transport())
        client.disconnect()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
