"""The server side of HTTP/2 (RFC 9113) in the lab, with the library h2, an optional extra.

This module is imported only if a client negotiates HTTP/2.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, RequestReceived, StreamEnded, StreamReset, TrailersReceived
from h2.exceptions import H2Error, ProtocolError

from certpin.lab.scenario import KEEPING, Answer
from certpin.lab.server.http import MAX_REQUESTS, header_text
from certpin.lab.verdict import KEPT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from h2.events import Event

    from certpin.lab.scenario import AnswerContext, ServerStep


_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"  # RFC 9113 section 3.4
_HEADER = 9
_LONGEST = 16_384  # the default of SETTINGS_MAX_FRAME_SIZE
_DATA, _HEADERS, _CONTINUATION = 0, 1, 9
_WORDS = {_DATA, _HEADERS, _CONTINUATION}  # the frames with data of the client
_END_HEADERS = 0x04


class Frames:
    """Splits the bytes of an HTTP/2 client into the connection preface and complete frames.

    Iterate over it to get the preface and the frames, each as bytes.

    Attributes:
        unread: the client's bytes that are not parsed: frames of an unfinished header block, a
            refused frame, or part of a frame.
        broken: True if the preface is wrong or a frame is too long. The following bytes are not
            HTTP/2, and all of them count as data of the client.
    """

    def __init__(self) -> None:
        self.broken = False
        self._pending = bytearray()
        self._block = bytearray()  # the frames of an unfinished header block
        self._ended = True  # whether the frame returned last ends its header block
        self._begun = False

    @property
    def unread(self) -> bytes:
        """The client's bytes that are not parsed yet, or can't be parsed."""
        if self.broken or self._kind in _WORDS:
            return bytes(self._block + self._pending)
        return bytes(self._block)

    def feed(self, data: bytes) -> None:
        """Add bytes received from the client. Iterate afterwards to get the complete frames."""
        self._pending += data

    def read(self) -> None:
        """Forget the frame that was returned last, because the caller has parsed it.

        The frames of a header block are forgotten together, after the last of them. They are then
        no longer part of ``unread``.
        """
        if self._ended:
            self._block.clear()

    def __iter__(self) -> Iterator[bytes]:
        while frame := self._next():
            yield frame

    def _next(self) -> bytes:
        if not self._begun:
            return self._preface()
        header = self._pending[:_HEADER]
        length = int.from_bytes(header[:3])
        self.broken = self.broken or length > _LONGEST
        if self.broken or len(self._pending) < max(_HEADER, _HEADER + length):
            return b""
        if self._kind in _WORDS:
            room = max(0, KEPT - len(self._block))
            self._block += self._pending[_HEADER : _HEADER + min(length, room)]
            self._ended = self._kind == _DATA or bool(header[4] & _END_HEADERS)
        return self._cut(_HEADER + length)

    def _preface(self) -> bytes:
        came = bytes(self._pending[: len(_PREFACE)])
        self.broken = not _PREFACE.startswith(came)
        if self.broken or len(came) < len(_PREFACE):
            return b""
        self._begun = True
        return self._cut(len(_PREFACE))

    def _cut(self, octets: int) -> bytes:
        cut = bytes(self._pending[:octets])
        del self._pending[:octets]
        return cut

    @property
    def _kind(self) -> int:
        """The type number of the next frame; -1 while its header is incomplete.

        It decides if the frame counts as data of the client.
        """
        return self._pending[3] if self._begun and len(self._pending) > 3 else -1


class Http2:
    """The lab's HTTP/2 server: it answers each request with the lab's token, or with a redirect.

    The token is a random text: a client that prints it has read the answer. The headers and bodies
    of requests count as data of the client, as text. The preface, SETTINGS, WINDOW_UPDATE, PRIORITY
    and PING do not. No input raises an exception: an error ends the connection.
    """

    upgrade = False

    def __init__(self, step: ServerStep, answer_context: AnswerContext) -> None:
        self.data = bytearray()
        self.astray = bytearray()
        self.closing = False
        self._act = step
        self._answer_context = answer_context
        self._frames = Frames()
        self._words = bytearray()
        self._asked: dict[int, dict[bytes, bytes]] = {}  # the request headers of open streams
        self._requests = 0
        self._resets = 0
        self._ending = False  # whether the last answer was sent
        self._broken = False  # whether the input is ignored from now on
        self._full = False  # whether the limit of recorded data is reached

    @cached_property
    def _http(self) -> H2Connection:
        """The connection object of the library h2.

        It is made on first use, because most clients refuse the server earlier.
        """
        # Invalid headers are client data too, so they are not refused.
        return H2Connection(H2Configuration(False, validate_inbound_headers=False))

    def begin(self, *, secure: bool) -> bytes:
        """Return the server's first bytes, its SETTINGS (RFC 9113 section 3.4).

        ``secure`` has no effect, because HTTP/2 is used only under TLS.
        """
        self._http.initiate_connection()
        return self._http.data_to_send()

    def receive(self, data: bytes, *, secure: bool) -> bytes:
        """Process bytes from the client, and return the answers to complete requests.

        ``secure`` has no effect, because HTTP/2 is used only under TLS.
        """
        self._frames.feed(data)
        try:
            if not self._broken:
                self._take()
        except H2Error:
            self._broken = True
        # Requests that arrived together are all answered first.
        self.closing = self._broken or (self._ending and not self._asked)
        if not self._full:
            self.data = (self._words + self._frames.unread)[:KEPT]
            self._full = len(self._words) >= KEPT
        return self._http.data_to_send()

    def farewell(self) -> bytes:
        """Return a GOAWAY frame to send at the end: the server takes no further request."""
        if not self._broken:
            self._http.close_connection()
        return self._http.data_to_send()

    def _take(self) -> None:
        # One frame at a time: after an error, h2 drops the events of all frames it was given.
        for frame in self._frames:
            for event in self._http.receive_data(frame):
                self._note(event)
                if isinstance(event, StreamEnded):
                    self._reply(event.stream_id)
            self._frames.read()
            if self._requests > MAX_REQUESTS or self._resets > MAX_REQUESTS:
                self._http.close_connection(ErrorCodes.ENHANCE_YOUR_CALM)  # CVE-2023-44487
                raise ProtocolError
        if self._frames.broken:
            raise ProtocolError

    def _note(self, event: Event) -> None:
        """Record the headers and the body in an event of the library h2 as data of the client."""
        if isinstance(event, RequestReceived):
            self._requests += 1
            self._asked[event.stream_id] = dict(event.headers)
            self._say(event.stream_id, header_text(event.headers))
        elif isinstance(event, TrailersReceived):
            self._say(event.stream_id, header_text(event.headers))
        elif isinstance(event, DataReceived):
            self._say(event.stream_id, event.data)
            self._http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, StreamReset):
            self._resets += 1
            self._asked.pop(event.stream_id, None)

    def _say(self, stream: int, words: bytes) -> None:
        self._words += words[: KEPT - len(self._words)]
        if self._strayed(self._asked.get(stream, {})):
            self.astray += words[: KEPT - len(self.astray)]

    def _strayed(self, asked: dict[bytes, bytes]) -> bool:
        """Return True if a request names the second host of the case. Its data is ``astray``.

        A client must not request the second host on this connection, because it did not check the
        pins of that host here. ``asked`` are the headers of the request.
        """
        authority = asked.get(b":authority") or asked.get(b"host", b"")
        host = authority.partition(b":")[0].lower()
        return bool(self._act.foreign) and host == self._act.foreign.encode()

    def _reply(self, stream: int) -> None:
        asked = self._asked.pop(stream, {})
        self._ending = self._act.answer not in KEEPING
        if self._act.answer is Answer.SILENT:
            return
        path = asked.get(b":path", b"").decode("ascii", "replace")
        strayed = self._strayed(asked)
        to = "" if strayed else self._answer_context.redirect_url(self._act.answer, path)
        if to:
            self._send(stream, [(":status", "302"), ("location", to)], b"")
        else:
            body = (
                b""
                if asked.get(b":method") == b"HEAD"
                else f"{self._answer_context.token}\n".encode()
            )
            self._send(stream, [(":status", "200"), ("content-type", "text/plain")], body)

    def _send(self, stream: int, headers: list[tuple[str, str]], body: bytes) -> None:
        alt_svc = self._answer_context.alt_svc(self._act)
        headers = [*headers, ("alt-svc", alt_svc)] if alt_svc else headers
        self._http.send_headers(stream, headers, end_stream=not body)
        if body:
            # If the client's window is too small, this raises, and the connection ends.
            self._http.send_data(stream, body, end_stream=True)
