"""A small HTTP/3 client, built on the library aioquic without its event loop."""

from __future__ import annotations

import socket
import ssl
import time
from typing import TYPE_CHECKING, Self

from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ConnectionTerminated, HandshakeCompleted

if TYPE_CHECKING:
    from aioquic.quic.events import QuicEvent

    from certpin.lab.target import Target

PATIENCE = 20.0  # seconds


class QuicClient:
    """One connection to the UDP port of a target. It verifies the chain if ``verified`` is True."""

    def __init__(self, target: Target, *, verified: bool = True) -> None:
        configuration = QuicConfiguration(alpn_protocols=H3_ALPN, server_name=target.host)
        configuration.load_verify_locations(cafile=str(target.ca))
        configuration.verify_mode = ssl.CERT_REQUIRED if verified else ssl.CERT_NONE
        self.quic = QuicConnection(configuration=configuration)
        self.http = H3Connection(self.quic)
        self.headers: dict[bytes, bytes] = {}
        self.answer = b""
        self._peer = (target.address, target.port)
        self._socket = socket.socket(
            socket.AF_INET6 if ":" in target.address else socket.AF_INET, socket.SOCK_DGRAM
        )
        self._host, self._target = target.host, target
        self._secured = self._answered = False

    def __enter__(self) -> Self:
        self.quic.connect(self._peer, time.monotonic())
        self._pump("_secured")
        return self

    def __exit__(self, *_: object) -> None:
        self.quic.close()
        self.send()
        self._socket.close()

    def request(self, method: str = "GET") -> int:
        """Queue a request for the target's canary path, and return the number of its stream."""
        head = {":method": method, ":scheme": "https", ":authority": self._host}
        head[":path"] = f"/{self._target.canary}"
        stream = self.quic.get_next_available_stream_id()
        fields = [(name.encode(), value.encode()) for name, value in head.items()]
        self.http.send_headers(stream, fields, end_stream=method != "POST")
        return stream

    def read(self) -> str:
        """Send all prepared data, wait for the answer, and return its body."""
        self._pump("_answered")
        return self.answer.decode()

    def send(self) -> None:
        """Send all prepared data, and return at once."""
        for data, _ in self.quic.datagrams_to_send(time.monotonic()):
            self._socket.sendto(data, self._peer)

    def _pump(self, until: str) -> None:
        end = time.monotonic() + PATIENCE
        while not getattr(self, until):
            self.send()
            now = time.monotonic()
            assert now < end, "no answer"
            self._socket.settimeout(max(0.001, (self.quic.get_timer() or end) - now))
            try:
                self.quic.receive_datagram(self._socket.recv(65_535), self._peer, time.monotonic())
            except TimeoutError:
                self.quic.handle_timer(time.monotonic())
            while event := self.quic.next_event():
                self._take(event)
        self.send()  # the last message of the handshake

    def _take(self, event: QuicEvent) -> None:
        if isinstance(event, ConnectionTerminated):
            self._socket.close()
            raise ConnectionError(event.reason_phrase)
        if isinstance(event, HandshakeCompleted):
            self._secured = True
        for each in self.http.handle_event(event):
            if isinstance(each, HeadersReceived):
                self.headers = dict(each.headers)
            if isinstance(each, DataReceived):
                self.answer += each.data
            if isinstance(each, HeadersReceived | DataReceived):
                self._answered = each.stream_ended
