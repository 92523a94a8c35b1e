"""A small HTTP/2 client, built on the library h2."""

from __future__ import annotations

from typing import TYPE_CHECKING

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived, StreamEnded

if TYPE_CHECKING:
    import ssl

    from h2.events import Event


class Client:
    """An HTTP/2 client on one open TLS connection, which can send several requests."""

    def __init__(self, tls: ssl.SSLSocket) -> None:
        assert tls.selected_alpn_protocol() == "h2"
        self._tls = tls
        self._http = H2Connection(H2Configuration(client_side=True))
        self._http.initiate_connection()

    def get(self, authority: str, path: str, method: str = "GET") -> tuple[int, str]:
        """Send one request. Return the status and the body of the answer."""
        return self.send(self.open(authority, path, method, end=True))

    def open(self, authority: str, path: str, method: str = "GET", *, end: bool = False) -> int:
        """Queue the headers of a request, and return the number of its stream.

        ``end`` is True if the request has no body.
        """
        stream = self._http.get_next_available_stream_id()
        asked = {":method": method, ":scheme": "https", ":authority": authority, ":path": path}
        self._http.send_headers(stream, list(asked.items()), end_stream=end)
        return stream

    def send(self, stream: int, body: bytes = b"") -> tuple[int, str]:
        """Send the body of a request. Return the status and the body of the answer."""
        if body:
            self._http.send_data(stream, body, end_stream=True)
        self._status, self._answer, self._ended = 0, b"", False
        while not self._ended:
            self._tls.sendall(self._http.data_to_send())
            piece = self._tls.recv(65_536)
            for event in self._http.receive_data(piece):
                self._note(event)
            if not piece:
                raise ConnectionError("the connection ended before the answer")
        return self._status, self._answer.decode()

    def _note(self, event: Event) -> None:
        if isinstance(event, ResponseReceived):
            self._status = int(dict(event.headers)[b":status"])
        elif isinstance(event, DataReceived):
            self._answer += event.data
        elif isinstance(event, StreamEnded):
            self._ended = True
