"""``negotiate`` over real sockets, against servers that strip, inject, stall, drip and close."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from typing import TYPE_CHECKING

import pytest

from certpin.errors import StartTLSError
from certpin.probe.starttls import PROTOCOLS, negotiate
from tests.probe.starttls._play import (
    EHLO,
    HOST,
    READY,
    Conversation,
    Server,
    is_injection,
    is_stripping,
)
from tests.servers._run import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TIMEOUT = 10.0  # seconds; no test waits so long
SHORT = 0.2  # seconds; for the tests of time-outs


@contextlib.contextmanager
def serving(handle: Callable[[socket.socket], None]) -> Iterator[int]:
    """Accept one connection in a thread and call a function with it; yields the port."""
    with socket.create_server((LOOPBACK, 0)) as listener:

        def run() -> None:
            with listener.accept()[0] as sock:
                sock.settimeout(TIMEOUT)
                handle(sock)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def ask(name: str, port: int, timeout: float | None = TIMEOUT) -> None:
    """Negotiate STARTTLS with the server at a port, and close the connection before TLS.

    The socket must have its timeout again afterwards.
    """
    with socket.create_connection((LOOPBACK, port), timeout=timeout) as sock:
        try:
            negotiate(sock, PROTOCOLS[name], HOST, port)
        finally:
            assert sock.gettimeout() == timeout


class Scripted:
    """A server that runs a conversation, then keeps the bytes that the client still sends."""

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation
        self.rest = b"not read"

    def __call__(self, sock: socket.socket) -> None:
        for turn in self.conversation:
            if isinstance(turn, Server):
                sock.sendall(turn)
            else:
                assert sock.recv(len(turn), socket.MSG_WAITALL) == turn
        with contextlib.suppress(ConnectionResetError):
            self.rest = b""
            while more := sock.recv(4096):
                self.rest += more


def test_negotiate_reads_no_byte_of_tls() -> None:
    server = Scripted(READY["smtp"])
    with serving(server) as port:
        ask("smtp", port)
    assert server.rest == b""


def test_a_socket_without_a_time_out_works_too() -> None:
    with serving(Scripted(READY["pop3"])) as port:
        ask("pop3", port, timeout=None)


def test_stripping_is_refused_and_nothing_more_is_sent() -> None:
    server = Scripted([Server(b"220 mx\r\n"), EHLO, Server(b"250-mx\r\n250 SIZE 1000\r\n")])
    with serving(server) as port, pytest.raises(StartTLSError) as caught:
        ask("smtp", port)
    assert is_stripping(caught.value)
    assert server.rest == b""


@pytest.mark.parametrize("name", PROTOCOLS)
def test_an_injecting_server_is_refused_before_any_tls_hello(name: str) -> None:
    last = max(at for at, turn in enumerate(READY[name]) if isinstance(turn, Server))
    injecting = Server(READY[name][last] + b"250 injected\r\n")
    server = Scripted([*READY[name][:last], injecting])
    with serving(server) as port, pytest.raises(StartTLSError) as caught:
        ask(name, port)
    assert is_injection(caught.value)
    assert server.rest == b""


def test_a_server_that_closes_is_refused() -> None:
    with (
        serving(lambda sock: sock.sendall(b"220 mx\r\n")) as port,
        pytest.raises(StartTLSError) as caught,
    ):
        ask("smtp", port)
    assert "closed the" in caught.value.problem or "was lost" in caught.value.problem


def test_a_server_that_resets_the_connection_is_refused() -> None:
    def reset(sock: socket.socket) -> None:
        sock.recv(1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with serving(reset) as port, pytest.raises(StartTLSError, match="was lost") as caught:
        ask("ldap", port)  # the client sends first, so it is connected by then
    assert isinstance(caught.value.__cause__, ConnectionResetError)


@pytest.mark.medium
def test_a_silent_server_is_refused_when_the_time_is_up() -> None:
    with serving(Scripted([])) as port, pytest.raises(StartTLSError, match="in time"):
        ask("smtp", port, timeout=SHORT)


@pytest.mark.medium
def test_a_server_that_drips_is_refused_when_the_total_time_is_up() -> None:
    hung_up = threading.Event()

    def drip(sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while not hung_up.wait(SHORT / 10):
                sock.sendall(b"2")

    with serving(drip) as port:
        with pytest.raises(StartTLSError, match="in time"):
            ask("smtp", port, timeout=SHORT)
        hung_up.set()


def test_a_closed_socket_is_a_typed_error() -> None:
    left, right = socket.socketpair()
    with right:
        left.close()
        with pytest.raises(StartTLSError, match="was lost"):
            negotiate(left, PROTOCOLS["smtp"], HOST, 25)


def test_a_non_blocking_socket_times_out_at_once() -> None:
    left, right = socket.socketpair()
    with left, right:
        left.setblocking(False)
        with pytest.raises(StartTLSError, match="in time"):
            negotiate(left, PROTOCOLS["smtp"], HOST, 25)
        assert not left.getblocking()
