"""The server side of HTTP/3 (RFC 9114) over QUIC (RFC 9000) in the lab, with the library aioquic.

aioquic is part of an optional extra: this module is imported only if a case serves HTTP/3.
"""

from __future__ import annotations

import errno
import logging
import socket
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.asyncio.server import QuicServer
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import (
    ConnectionTerminated,
    HandshakeCompleted,
    ProtocolNegotiated,
    StreamDataReceived,
)
from cryptography import x509

from certpin.lab.server.handmade import alert_name
from certpin.lab.server.http import header_text
from certpin.lab.server.records import ClientHello
from certpin.lab.server.session import MAX_RECEIVED, TOO_MUCH
from certpin.lab.verdict import KEPT, Connection

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from aioquic.quic.connection import QuicConnection
    from aioquic.quic.events import QuicEvent

    from certpin.lab.scenario import ServerStep
    from certpin.lab.server.port import Port
    from certpin.lab.server.session import CaseRun


for _logger in ("quic", "http3"):  # of the library: its warnings are for its own users
    logging.getLogger(_logger).addHandler(logging.NullHandler())

_TLS13 = 0x0304
_CRYPTO_ERRORS = range(0x100, 0x200)  # RFC 9001 section 4.8: 0x100 plus the number of the alert
_TIMERS = 64  # the last timers of a connection: far more than it has until it forgets a peer
_LONGEST = 65_535  # bytes of a UDP datagram
_LAST_DATAGRAMS = 4096  # per port when the case ends: a limit for clients that never stop
_TRIES = 20  # TCP ports that are opened until one has a number that is free for UDP


def open_with_http3(
    make: Callable[[], Port], loop: asyncio.AbstractEventLoop, case_run: CaseRun, address: str
) -> tuple[Port, QuicPort]:
    """Open a TCP port, and a UDP port for HTTP/3 with the same number. Return both ports.

    A client that is directed to the number of the TCP port, such as by ``curl --resolve``, then
    reaches both.

    Args:
        make: opens any free TCP port.
        loop: the event loop.
        case_run: the running case.
        address: the IP address to listen on.

    Raises:
        OSError: no port is left.
    """
    for left in reversed(range(_TRIES)):
        port = make()
        try:
            return port, QuicPort(loop, case_run, (address, port.number))
        except OSError as exc:
            port.close()
            if exc.errno != errno.EADDRINUSE or not left:
                raise
    raise AssertionError("the last try returns or raises")


class QuicPort:
    """A UDP port of the lab, on which it serves HTTP/3. Use it only in the event loop's thread.

    Args:
        loop: the event loop, which must be running.
        case_run: the running case. Its scenario says how the lab serves HTTP/3 connections.
        address: the IP address and the port to listen on.

    Raises:
        OSError: the socket can't be opened.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, case_run: CaseRun, address: tuple[str, int]
    ) -> None:
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            self._socket.bind(address)
        except OSError:
            self._socket.close()
            raise
        self._loop = loop
        self._sessions: list[Http3] = []
        self._closed = False
        step = case_run.scenario.http3
        assert step is not None  # noqa: S101  # the caller checks this
        self._server = QuicServer(
            configuration=_configuration(step),
            create_protocol=partial(self._begin, case_run, step),
        )
        transport: Any = _Sender(self._socket)
        self._server.connection_made(transport)
        loop.add_reader(self._socket, self._read)

    @property
    def number(self) -> int:
        """The number of the UDP port."""
        return int(self._socket.getsockname()[1])

    def close(self) -> None:
        """Stop listening, read all datagrams that have arrived, and close all connections.

        All data that a client on this machine sent before this call is read, because loopback
        delivers synchronously.
        """
        if self._closed:
            return
        self._closed = True
        self._read()
        self._loop.remove_reader(self._socket)
        for session in self._sessions:
            session.end()
        self._socket.close()

    def _begin(
        self, case_run: CaseRun, step: ServerStep, quic: QuicConnection, **_: object
    ) -> Http3:
        """Return the server for a new QUIC connection. The library aioquic calls this function.

        ``case_run`` is the running case, to which the evidence is added. ``step`` is how the lab
        serves the connection.
        """
        session = Http3(step, case_run.answer_context.token, quic)
        case_run.opened(session.seen)
        self._sessions.append(session)
        return session

    def _read(self) -> None:
        for _ in range(_LAST_DATAGRAMS):
            try:
                data, sender = self._socket.recvfrom(_LONGEST)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:  # an ICMP error about an earlier answer
                continue
            # The library's errors about hostile datagrams aren't documented; each is dropped.
            with suppress(Exception):
                self._server.datagram_received(data, sender)


class Http3(QuicConnectionProtocol):
    """The lab's HTTP/3 server on one QUIC connection. ``seen`` is the evidence of the connection.

    It answers each request with the lab's token, a random text: a client that prints it has read
    the answer. The headers and bodies of requests count as data of the client, and so do bytes of a
    request that can't be parsed.
    """

    def __init__(self, step: ServerStep, token: str, quic: QuicConnection) -> None:
        super().__init__(quic)
        self.seen = Connection(step=step)
        self._token = token
        self._http: H3Connection | None = None
        self._words = b""
        self._taken = 0  # bytes of all streams
        self._unread: dict[int, bytes] = {}  # of requests of which nothing was parsed
        self._only_head: set[int] = set()  # the streams of HEAD requests

    def quic_event_received(self, event: QuicEvent) -> None:
        """Record an event of the QUIC connection as evidence, and answer requests.

        The library aioquic calls this function.
        """
        if isinstance(event, ProtocolNegotiated):  # from the ClientHello
            protocol = event.alpn_protocol or ""
            self.seen.hello = ClientHello(alpn=(protocol,), versions=(_TLS13,))
            self.seen.alpn = protocol
        elif isinstance(event, HandshakeCompleted):
            schedule = self._quic.tls.key_schedule
            self.seen.secured, self.seen.version = True, "TLSv1.3"
            self.seen.cipher = f"TLS_{schedule.cipher_suite.name}" if schedule else ""
            self._http = H3Connection(self._quic)
        elif isinstance(event, ConnectionTerminated):
            self._note_end(event)
        elif self._http:
            self._take(self._http, event)

    def end(self) -> None:
        """Close the connection, and process the events that the library aioquic postpones.

        If the client closed the connection, aioquic reports the reason only after the time in which
        packets may still arrive (RFC 9000 section 10.2). This function doesn't wait for that time.
        """
        with suppress(Exception):
            self.close()
            for _ in range(_TIMERS):
                due = self._quic.get_timer()
                if due is None:
                    break
                self._quic.handle_timer(due)
                while event := self._quic.next_event():
                    self.quic_event_received(event)
            self.transmit()  # ends the timer

    def _take(self, http: H3Connection, event: QuicEvent) -> None:
        """Record the data in a QUIC event after the handshake, and answer complete requests.

        ``http`` is the HTTP/3 connection inside it. If the client has sent too many bytes, the
        connection is closed.
        """
        if isinstance(event, StreamDataReceived):
            self._taken += len(event.data)
            if self._taken > MAX_RECEIVED:  # the library keeps the bytes of an unfinished header
                self.seen.problem, self._http = TOO_MUCH, None
                self.close()
                return
            if _is_request(event.stream_id):
                known = self._unread.get(event.stream_id, b"")
                self._unread[event.stream_id] = (known + event.data)[:KEPT]
        try:
            self._answer(http, event)
        finally:  # an answer that can't be sent removes no evidence
            self.seen.data = (self._words + b"".join(self._unread.values()))[:KEPT]

    def _answer(self, http: H3Connection, event: QuicEvent) -> None:
        for each in http.handle_event(event):
            if isinstance(each, HeadersReceived):
                self._say(each.stream_id, header_text(each.headers))
                if (b":method", b"HEAD") in each.headers:
                    self._only_head.add(each.stream_id)
            elif isinstance(each, DataReceived):
                self._say(each.stream_id, each.data)
            else:
                continue
            if each.stream_ended:
                self._reply(http, each.stream_id)

    def _say(self, stream: int, words: bytes) -> None:
        self._unread.pop(stream, None)
        self._words += words[: KEPT - len(self._words)]

    def _reply(self, http: H3Connection, stream: int) -> None:
        body = b"" if stream in self._only_head else f"{self._token}\n".encode()
        headers = [(b":status", b"200"), (b"content-type", b"text/plain")]
        http.send_headers(stream, headers, end_stream=not body)
        if body:
            http.send_data(stream, body, end_stream=True)

    def _note_end(self, event: ConnectionTerminated) -> None:
        """Record why the client closed the connection: a TLS alert, or another error.

        ``event`` is aioquic's event for the end of the connection.
        """
        if event.frame_type is not None and event.error_code in _CRYPTO_ERRORS:
            self.seen.alert = alert_name(event.error_code - _CRYPTO_ERRORS.start)
        elif event.error_code and event.reason_phrase:
            self.seen.problem = event.reason_phrase


def _is_request(stream: int) -> bool:
    """Return True if a stream carries a request: it is bidirectional, and the client opened it.

    Only the bytes of such streams count as data of the client. See RFC 9000 section 2.1.
    """
    return stream % 4 == 0


def _configuration(step: ServerStep) -> QuicConfiguration:
    configuration = QuicConfiguration(is_client=False, alpn_protocols=H3_ALPN)
    leaf, *others = map(x509.load_der_x509_certificate, step.chain)
    configuration.certificate, configuration.certificate_chain = leaf, others
    configuration.private_key = step.private_key
    return configuration


class _Sender:
    """A minimal replacement for an asyncio datagram transport, around a UDP socket.

    It has only the method that the library aioquic calls.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    def sendto(self, data: bytes, address: tuple[str, int]) -> None:
        """Send a datagram. Errors are ignored, because a network may lose any datagram."""
        with suppress(OSError):
            self._socket.sendto(data, address)
