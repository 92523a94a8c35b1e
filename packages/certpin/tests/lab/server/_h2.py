"""Helpers for tests of the lab's HTTP/2 server: a client, single frames, and decoded responses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, ResponseReceived

from certpin.lab.scenario import Answer, AnswerContext, ServerStep
from certpin.lab.server.h2 import Http2
from tests.lab.server._wire import HOST, HOSTS, TOKEN

if TYPE_CHECKING:
    from h2.events import Event

ANSWERS = AnswerContext(TOKEN)
ANSWERS.set_hosts(HOSTS)
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
ASKED = [(":method", "GET"), (":scheme", "https"), (":authority", HOST), (":path", "/canary")]
HEADERS, DATA, CONTINUATION, PING, SETTINGS = 1, 0, 9, 6, 4
END_STREAM, END_HEADERS = 1, 4


def spoken(answer: Answer = Answer.OK, **fields: Any) -> Http2:
    application = Http2(ServerStep((), b"", answer=answer, **fields), ANSWERS)
    begin = application.begin(secure=True)
    assert begin[3] == SETTINGS
    return application


def client() -> H2Connection:
    connection = H2Connection(H2Configuration(client_side=True, validate_outbound_headers=False))
    connection.initiate_connection()
    return connection


def exchange(application: Http2, connection: H2Connection) -> list[Event]:
    """Pass the client's bytes to the server. Return the client's events from the answer."""
    reply = application.receive(connection.data_to_send(), secure=True)
    return connection.receive_data(reply)


def frame(kind: int, payload: bytes, flags: int = 0, stream: int = 1) -> bytes:
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


def asking(body: bytes = b"", **headers: str) -> tuple[H2Connection, bytes]:
    """Return a client that has sent a request, and the bytes of the request."""
    connection = client()
    asked = [(name, headers.pop(name.strip(":"), value)) for name, value in ASKED]
    connection.send_headers(1, [*asked, *headers.items()], end_stream=not body)
    if body:
        connection.send_data(1, body, end_stream=True)
    return connection, connection.data_to_send()


def answers(events: list[Event]) -> tuple[list[bytes], bytes, bool]:
    """Return the statuses, the bodies, and whether the server sent GOAWAY."""
    statuses = [
        dict(event.headers)[b":status"] for event in events if isinstance(event, ResponseReceived)
    ]
    body = b"".join(event.data for event in events if isinstance(event, DataReceived))
    return statuses, body, any(isinstance(event, ConnectionTerminated) for event in events)
