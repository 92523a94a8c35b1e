"""The event loop of the lab, its listening sockets, and the link of each accepted socket.

A link connects a socket with its conversation (the protocol state machine that serves it). The loop
calls the link directly: there is no task, and no buffer that could lose a byte when the case ends.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
import threading
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self, TypeVar

from certpin.lab.server.relay import relay

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from certpin.lab.server.conversation import Conversation


T = TypeVar("T")

_BACKLOG = 1024  # connections that wait while the loop is busy; the kernel may allow fewer
_ANY_PORT = 0
# Reads of 64 KiB per client when the case ends: more than the 4 MiB that a session reads, and a
# limit for clients that never stop.
_LAST_PIECES = 128
_BREATH = 0.1  # seconds until the next attempt if no descriptor is left
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Loop:
    """A context manager with an asyncio event loop that runs in its own thread."""

    def __init__(self) -> None:
        self.asyncio = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="certpin-lab", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.asyncio.call_soon_threadsafe(self.asyncio.stop)
        self._thread.join()

    def call(self, function: Callable[[], T]) -> T:
        """Run a function in the loop's thread, wait until it returns, and return its result.

        An exception of the function is raised in the calling thread.
        """
        answer: Future[T] = Future()

        def run() -> None:  # no task, for speed: each run of a client has three calls
            try:
                answer.set_result(function())
            except BaseException as exc:  # noqa: BLE001  # raised again in the caller's thread
                answer.set_exception(exc)

        self.asyncio.call_soon_threadsafe(run)
        return answer.result()

    def wait(self, function: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine function in the loop's thread, wait for it, and return its result.

        An exception of the coroutine is raised in the calling thread.
        """
        return asyncio.run_coroutine_threadsafe(function(), self.asyncio).result()

    def _run(self) -> None:
        self.asyncio.run_forever()
        _end_tasks(self.asyncio)
        self.asyncio.run_until_complete(self.asyncio.shutdown_asyncgens())
        self.asyncio.close()


class WaitingLoop:
    """An asyncio event loop that runs in the caller's thread, while the caller waits for a client.

    This is faster than a loop in another thread, because no other thread has to wake up to answer
    the client. Call ``close`` at the end.
    """

    def __init__(self) -> None:
        self.asyncio = asyncio.new_event_loop()

    def call(self, function: Callable[[], T]) -> T:
        """Run a function in this thread, and return its result.

        It has the same purpose as ``Loop.call``: this loop runs in the caller's thread.
        """
        return function()

    def wait_for(self, descriptor: int | None, seconds: float) -> bool:
        """Run the event loop, which serves clients, until a descriptor is readable.

        Args:
            descriptor: the descriptor; None to serve for the whole time.
            seconds: the longest time.

        Returns:
            True if the descriptor is readable; False if the time is over.
        """
        readable = False

        def end() -> None:
            nonlocal readable
            readable = True
            self.asyncio.stop()

        timer = self.asyncio.call_later(seconds, self.asyncio.stop)
        if descriptor is not None:
            self.asyncio.add_reader(descriptor, end)
        try:
            self.asyncio.run_forever()
        finally:
            timer.cancel()
            if descriptor is not None:
                self.asyncio.remove_reader(descriptor)
        return readable

    def close(self) -> None:
        """Close the loop, and the connections that are still open."""
        _end_tasks(self.asyncio)
        self.asyncio.close()


def _end_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel the tasks of a stopped loop, and run the loop until their sockets are closed.

    Otherwise the loop would be closed while relays still have open sockets.
    """
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(_ended(left))


async def _ended(tasks: set[asyncio.Task[object]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0)  # transports close in the next iteration


class Port:
    """A listening TCP socket of the lab. It makes a conversation for each connection.

    A conversation is the protocol state machine that serves one connection. Use this class only in
    the event loop's thread.

    Args:
        loop: the event loop.
        make: returns a new conversation.
        address: the IP address and the port to listen on; port 0 for any free port.

    Raises:
        OSError: the socket cannot listen.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        make: Callable[[], Conversation],
        address: tuple[str, int] = ("127.0.0.1", _ANY_PORT),
    ) -> None:
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._listener = socket.create_server(address, family=family, backlog=_BACKLOG)
        self._listener.setblocking(False)
        self._descriptor = self._listener.fileno()  # faster for asyncio than the socket
        self._loop = loop
        self._make = make
        self._links: set[Link] = set()
        self._closed = False
        loop.add_reader(self._descriptor, self._accept)

    @property
    def number(self) -> int:
        """The number of the TCP port."""
        return int(self._listener.getsockname()[1])

    def close(self) -> None:
        """Stop listening, read all data that has arrived, and close all connections.

        This includes connections that were not accepted yet. All data that a client on this machine
        sent before this call is read, because loopback delivers synchronously.
        """
        if self._closed:
            return
        self._accept()
        self._closed = True
        self._loop.remove_reader(self._descriptor)
        self._listener.close()
        for link in tuple(self._links):
            for _ in range(_LAST_PIECES):
                if not link.read():
                    break
            link.close()

    def _accept(self) -> None:
        while self._accept_one():
            pass

    def _accept_one(self) -> bool:
        """Accept one connection, and begin to serve it. Return True if more may be waiting.

        The result is also True if the client closed the connection before it was accepted. It is
        False if none was waiting, or no file descriptor or memory is left (accepting then pauses
        shortly).
        """
        try:
            sock, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as exc:
            if exc.errno not in _EXHAUSTED:
                return True  # closed before it was accepted (accept(2): ECONNABORTED and others)
            self._breathe(exc)
            return False
        link = Link(self._loop, sock, self._make(), self._ended)
        if link.open:
            self._links.add(link)
        return True

    def _breathe(self, exc: OSError) -> None:
        """Pause accepting for 0.1 seconds, because no file descriptor or memory is left.

        Without the pause, the event loop would try to accept the waiting connection again and
        again. ``exc`` is the error of the last attempt; it is not used.
        """
        self._loop.remove_reader(self._descriptor)
        self._loop.call_later(_BREATH, self._listen_on)

    def _listen_on(self) -> None:
        if not self._closed:
            self._loop.add_reader(self._descriptor, self._accept)

    def _ended(self, link: Link) -> None:
        self._links.discard(link)
        to = link.conversation.passing
        if to is None:
            return
        sock = link.hand_over()
        if self._closed:
            sock.close()
        else:
            relay(self._loop, sock, link.conversation, to)


_PIECE = 64 * 1024
# Unread bytes after which the lab stops reading from a client until it reads.
_MAX_UNSENT = 1024 * 1024
_NO_LINGER = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time; close(2) then sends a reset
PATIENCE = 20.0  # seconds that a client may be silent; until then it uses one socket


class Link:
    """Moves bytes between a client's socket and the conversation, until one of them ends.

    A conversation is the protocol state machine that serves a connection. Use this class only in
    the event loop's thread. ``ended`` is a function that is called once at the end, with the link.
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
        self._pause: asyncio.TimerHandle | None = None
        loop.add_reader(self._descriptor, self.read)
        self._move()

    def read(self) -> bool:
        """Read from the socket once, and pass the bytes to the conversation.

        The conversation is the protocol state machine that serves the connection. Return True if
        there were any bytes; the caller then reads again until nothing has arrived. If the client
        has closed the connection, or the socket fails, the link closes when all answers are sent.
        """
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
        """True while this link uses the socket: until it is closed, or handed over to a relay."""
        return self._open

    def _close_when_sent(self) -> None:
        """Close the connection once all bytes are sent, because the client has closed its side.

        The rest of an answer is still sent, because the client may wait for it.
        """
        if self._unsent and self._open:
            self._loop.remove_reader(self._descriptor)  # the end of file stays readable
        else:
            self.close()

    def close(self, *, gently: bool = True) -> None:
        """Close the connection without sending pending bytes.

        If ``gently`` is True, the lab's side is shut down (FIN) before the socket is closed. Use
        False if the client must get a reset (RST) only.
        """
        if not self._open:
            return
        self._let_go()
        if gently:
            with suppress(OSError):
                self.sock.shutdown(socket.SHUT_WR)
        self.sock.close()
        self._ended(self)

    def hand_over(self) -> socket.socket:
        """Stop using the socket, and return it open for a relay."""
        self._let_go()
        return self.sock

    def _let_go(self) -> None:
        self._open = False
        self._timer.cancel()
        if self._pause:
            self._pause.cancel()
        self._loop.remove_reader(self._descriptor)
        self._loop.remove_writer(self._descriptor)

    def _move(self) -> None:
        """Send the conversation's bytes, and then do what the conversation asks for.

        The conversation is the protocol state machine that serves the connection. It can ask to
        relay the connection, to close it, or to pause. If the socket doesn't take all bytes yet,
        everything else is done later, after they are sent.
        """
        self._unsent += self.conversation.data_to_send()
        try:
            while self._unsent:
                del self._unsent[: self.sock.send(self._unsent)]
        except (BlockingIOError, InterruptedError):
            self._wait_to_write()
            return
        except OSError:
            self._unsent.clear()  # the client no longer reads; its data must still be read
        if self.conversation.passing:
            self._ended(self)
        elif self.conversation.done:
            self._finish()
        elif self.conversation.pause and self._pause is None:
            self._pause = self._loop.call_later(self.conversation.pause, self._resume)

    def _resume(self) -> None:
        if self._open:
            self.conversation.resume()
            self._move()

    def _wait_to_write(self) -> None:
        if len(self._unsent) > _MAX_UNSENT:
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
        """Close the lab's side of the connection, and read on until the client closes its side.

        If the lab closed the socket while bytes are unread, the system would send a reset, which
        can overtake the answer (RFC 9112 section 9.6). If the case is meant to send a reset
        (``resets``), the socket is closed at once.
        """
        if self.conversation.resets:
            with suppress(OSError):
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            self.close(gently=False)
            return
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)
