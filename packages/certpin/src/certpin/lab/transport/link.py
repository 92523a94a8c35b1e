"""One socket and its conversation, driven by an event loop.

No task, and no buffer that could lose a byte when the case ends.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from certpin.lab.transport.conversation import Conversation

_PIECE = 64 * 1024
# Octets that a client may leave unread before the lab stops listening to it for a while.
_MOST_UNSENT = 1024 * 1024
PATIENCE = 20.0  # seconds that a client may be silent; it costs the lab one socket till then


class Link:
    """Moves bytes between a socket and a conversation until one of them ends.

    Only for the thread of the loop. ``ended`` is called once, with the link.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        conversation: Conversation,
        ended: Callable[[Link], None],
    ) -> None:
        sock.setblocking(False)
        with suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self._descriptor = sock.fileno()  # asyncio finds it faster than the socket
        self.conversation = conversation
        self._loop = loop
        self._ended = ended
        self._unsent = bytearray()
        self._open = True
        self._hung_up = False
        self._timer = loop.call_later(PATIENCE, self.close)
        loop.add_reader(self._descriptor, self.read)
        self._move()

    def read(self) -> bool:
        """Read once. Return True if there was data."""
        if not self._open:
            return False
        try:
            data = self.sock.recv(_PIECE)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            data = b""
        if not self.conversation.done:
            self._timer.cancel()
            self._timer = self._loop.call_later(PATIENCE, self.close)
        self._hung_up = not data
        self.conversation.receive(data)
        self._move()
        if self._hung_up:
            self._close_when_sent()
        return bool(data)

    @property
    def open(self) -> bool:
        """Whether the link still owns its socket."""
        return self._open

    def _close_when_sent(self) -> None:
        """Handle a half-close: the client may still wait for the rest of the answer."""
        if self._unsent and self._open:
            self._loop.remove_reader(self._descriptor)  # else its end would be read for ever
        else:
            self.close()

    def close(self) -> None:
        """Close the connection without sending more."""
        if not self._open:
            return
        self._let_go()
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)
        self.sock.close()
        self._ended(self)

    def hand_over(self) -> socket.socket:
        """Detach and return the socket, to be relayed."""
        self._let_go()
        return self.sock

    def _let_go(self) -> None:
        self._open = False
        self._timer.cancel()
        self._loop.remove_reader(self._descriptor)
        self._loop.remove_writer(self._descriptor)

    def _move(self) -> None:
        """Send as much as possible; the loop calls again for the rest."""
        self._unsent += self.conversation.data_to_send()
        try:
            while self._unsent:
                del self._unsent[: self.sock.send(self._unsent)]
        except (BlockingIOError, InterruptedError):
            self._wait_to_write()
            return
        except OSError:
            self._unsent.clear()  # the client reads no more; its data is still to be read
        if self.conversation.passing:
            self._ended(self)
        elif self.conversation.done:
            self._finish()

    def _wait_to_write(self) -> None:
        if len(self._unsent) > _MOST_UNSENT:
            self._loop.remove_reader(self._descriptor)
        self._loop.add_writer(self._descriptor, self._write_on)

    def _write_on(self) -> None:
        self._loop.remove_writer(self._descriptor)
        if not self._hung_up:
            self._loop.add_reader(self._descriptor, self.read)
        self._move()
        if self._hung_up:
            self._close_when_sent()

    def _finish(self) -> None:
        """Close as the server, but hear the client out.

        Closing with bytes unread is a reset, which can overtake the answer (RFC 9112 section 9.6).
        """
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)
