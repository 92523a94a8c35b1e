"""The server side of WebSocket (RFC 6455) in the lab, after an HTTP/1.1 client has requested it."""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from dataclasses import dataclass

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
_KEY_SIZE = 16  # bytes of a decoded Sec-WebSocket-Key (RFC 6455 section 4.1)
_CONTINUATION, _TEXT, _CLOSE, _PING, _PONG = 0x0, 0x1, 0x8, 0x9, 0xA
_OPCODES = {_CONTINUATION, _TEXT, 0x2, _CLOSE, _PING, _PONG}
_FINAL, _MASKED, _CONTROL = 0x80, 0x80, 0x8
_RESERVED = 0x70  # bits of extensions; the lab accepts none
_SHORT = 125  # the longest payload of a control frame, and of a length of 7 bits
_NORMAL, _PROTOCOL_ERROR = 1000, 1002  # RFC 6455 section 7.4.1
# Messages of a client that are answered, before the lab closes: replies use memory.
MAX_MESSAGES = 100


def accept_key(key: bytes) -> bytes:
    """Return ``Sec-WebSocket-Accept`` for a ``Sec-WebSocket-Key``; empty for an invalid key.

    The key is 16 random bytes in base64 (RFC 6455 section 4.2.2).
    """
    try:
        decoded = b64decode(key, validate=True)
    except (Base64Error, ValueError):
        return b""
    if len(decoded) != _KEY_SIZE:
        return b""
    return b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def switch(accepted: bytes, protocol: bytes = b"") -> bytes:
    """Return the HTTP response that accepts the change to WebSocket (RFC 6455 section 4.2.2).

    Args:
        accepted: the result of ``accept_key``.
        protocol: the chosen subprotocol; empty for none.
    """
    chosen = b"Sec-WebSocket-Protocol: %s\r\n" % protocol if protocol else b""
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %s\r\n%s\r\n" % (accepted, chosen)
    )


@dataclass
class _Frame:
    """The WebSocket frame that the lab is receiving.

    ``missing`` is the number of payload bytes that have not arrived, and ``taken`` the number of
    payload bytes that have arrived.
    """

    opcode: int
    final: bool
    mask: bytes
    missing: int
    taken: int = 0


class WebSocket:
    """The lab's side of a WebSocket connection.

    The lab sends a token first, and again as the answer to each message. The token is a random
    text: a client that prints it has read the answer. ``closing`` is True if the connection ends
    after the reply.
    """

    def __init__(self, token: str, *, keep: bool) -> None:
        """Begin a WebSocket connection, after the HTTP response that accepts it.

        Args:
            token: the text of each message that the lab sends.
            keep: True if the connection stays open after the first answer.
        """
        self.closing = False
        self._token = token.encode()
        self._keep = keep
        self._closed = False  # whether the lab sent a Close frame
        self._pending = bytearray()
        self._frame: _Frame | None = None
        self._control = bytearray()  # the payload of the current control frame
        self._answered = 0

    def begin(self) -> bytes:
        """Return the lab's first message. It is for clients that send nothing themselves."""
        return _frame(_TEXT, self._token)

    def receive(self, data: bytes) -> tuple[bytes, bytes]:
        """Process bytes from the client.

        Returns:
            The unmasked payload of all frames except Close, also of incomplete ones; and the reply.
        """
        self._pending += data
        said, reply = bytearray(), bytearray()
        while not self.closing:
            frame = self._frame = self._frame or self._head()
            if frame is None:
                break
            payload = self._payload(frame)
            if frame.opcode & _CONTROL:
                self._control += payload
            if frame.opcode != _CLOSE:
                said += payload
            if frame.missing:
                break
            self._frame = None
            reply += self._answer(frame)
        if self.closing and not self._closed:
            reply += self._close(_PROTOCOL_ERROR)
        return bytes(said), bytes(reply)

    def _head(self) -> _Frame | None:
        """Remove the head of the next frame (RFC 6455 section 5.2), and return the frame.

        Return None if the head is incomplete. An invalid head ends the connection.
        """
        if len(self._pending) < 2:
            return None
        first, second = self._pending[:2]
        opcode, short = first & 0xF, second & 0x7F
        final = bool(first & _FINAL)
        whole = short <= _SHORT and final
        if (
            first & _RESERVED
            or opcode not in _OPCODES
            or not second & _MASKED  # section 5.1: a client masks every frame
            or (opcode & _CONTROL and not whole)  # section 5.5
        ):
            self.closing = True
            return None
        extended = {126: 2, 127: 8}.get(short, 0)
        end = 2 + extended + 4
        if len(self._pending) < end:
            return None
        size = int.from_bytes(self._pending[2 : 2 + extended]) if extended else short
        mask = bytes(self._pending[end - 4 : end])
        del self._pending[:end]
        return _Frame(opcode, final, mask, size)

    def _payload(self, frame: _Frame) -> bytes:
        """Remove the next bytes of a frame's payload, and return them unmasked.

        At most the bytes that have arrived and belong to ``frame`` are returned; its counters
        change.
        """
        masked = self._pending[: frame.missing]
        del self._pending[: len(masked)]
        mask = (frame.mask * 2)[frame.taken % 4 :][:4] * (len(masked) // 4 + 1)
        key = int.from_bytes(mask[: len(masked)])
        found = (int.from_bytes(masked) ^ key).to_bytes(len(masked))
        frame.taken += len(found)
        frame.missing -= len(found)
        return found

    def _answer(self, frame: _Frame) -> bytes:
        control = bytes(self._control)
        self._control.clear()
        if frame.opcode == _CLOSE:
            self.closing = True
            return b"" if self._closed else self._close(_NORMAL)
        if self._closed or frame.opcode == _PONG or not frame.final:
            return b""
        self._answered += 1
        reply = _frame(_PONG, control) if frame.opcode == _PING else _frame(_TEXT, self._token)
        if self._answered >= MAX_MESSAGES or (frame.opcode != _PING and not self._keep):
            reply += self._close(_NORMAL)
        return reply

    def _close(self, code: int) -> bytes:
        self._closed = True
        return _frame(_CLOSE, code.to_bytes(2))


def _frame(opcode: int, payload: bytes) -> bytes:
    """Return an unmasked WebSocket frame with this opcode and a payload of at most 125 bytes."""
    assert len(payload) <= _SHORT  # noqa: S101  # the token, a ping's payload, or a code
    return bytes([_FINAL | opcode, len(payload)]) + payload
