"""Broken: the check is in the code for HTTP/1.1 only.

certpin prove --style leaf --via port -- python pins_in_http1_only.py
"""

import ssl

from _lab import Target, ask, check, connect, from_environment, trusting
from h2.connection import H2Connection
from h2.events import DataReceived


def ask_http2(tls: ssl.SSLSocket, target: Target) -> str:
    http = H2Connection()
    http.initiate_connection()
    fields = {":method": "GET", ":scheme": "https", ":path": f"/{target.canary}"}
    http.send_headers(1, [*fields.items(), (":authority", target.host)], end_stream=True)
    tls.sendall(http.data_to_send())
    answer = b""
    while piece := tls.recv(4096):
        answer += b"".join(
            event.data for event in http.receive_data(piece) if isinstance(event, DataReceived)
        )
    return answer.decode()


def main(target: Target) -> str:
    context = trusting(target)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with connect(target, context) as tls:
        chosen = tls.selected_alpn_protocol()
        if chosen != "h2":  # here
            check(tls, target.pins)
        return ask_http2(tls, target) if chosen == "h2" else ask(tls, target)


if __name__ == "__main__":
    print(main(from_environment()))
