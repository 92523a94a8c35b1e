"""Rule 3, for sockets: certpin's socket fails where Python's would fall back to clear text.

Python drops TLS from a socket after ``connect`` failed or ``shutdown`` was called, and a socket
that was wrapped while it connected has no TLS. Later bytes would be sent in clear text.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import ssl
import struct
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from certpin import PinnedSSLContext
from certpin.lab.lab_server import server_context
from tests.tls._operations import ALL, READING, SENDING
from tests.tls._raw import CANARY, LOOPBACK, PATIENCE, Recorder, TLSServer
from tests.tls._servers import RecordingServer
from tests.tls._wire import HOST

if TYPE_CHECKING:
    from tests.tls.conftest import World

CLEAR_TEXT = b"HTTP/1.1 400 Bad Request\r\n\r\nthis is no TLS"
ALERT = bytes([21, 3, 3, 0, 2, 2, 40])  # fatal, handshake_failure (RFC 8446 section 6)
HALF_A_RECORD = bytes([22, 3, 3, 0, 200, 2, 0, 0])
NO_TLS = "no TLS on this socket"

JUNK = pytest.mark.parametrize(
    "junk",
    [
        pytest.param(CLEAR_TEXT, id="clear text"),
        pytest.param(ALERT, id="alert"),
        pytest.param(HALF_A_RECORD, id="half a record"),
        pytest.param(bytes(64), id="zeros"),
        pytest.param(b"", id="nothing"),
    ],
)


def _wrap(world: World, sock: socket.socket, *, eager: bool = False) -> Any:
    return world.context().wrap_socket(sock, server_hostname=HOST, do_handshake_on_connect=eager)


def _try_everything(tls: Any) -> None:
    for operation in ALL.values():
        with suppress(OSError, ValueError):
            operation(tls)
    with suppress(OSError, ValueError):
        tls.unwrap()
    with suppress(OSError, ValueError):
        tls.sendall(CANARY)


@JUNK
@pytest.mark.parametrize("eager", [True, False])
def test_junk_instead_of_a_handshake_does_not_end_in_clear_text(
    world: World, junk: bytes, eager: bool
) -> None:
    with Recorder(junk, close=True) as server:
        with _wrap(world, socket.socket(), eager=eager) as tls:
            if eager:
                with pytest.raises(OSError):  # noqa: PT011  ssl's own, or the connection's end
                    tls.connect(server.address)
            else:
                tls.connect(server.address)
            _try_everything(tls)
        server.wait()
    assert CANARY not in server.heard


def test_a_failure_of_openssl_is_final_too(world: World) -> None:
    with Recorder(CLEAR_TEXT) as server, _wrap(world, server.dial()) as tls:
        said = set()
        for operation in (*SENDING.values(), *READING.values()):
            with pytest.raises(ssl.SSLError) as refusal:
                operation(tls)
            said.add(str(refusal.value))
        assert len(said) == 1
    assert CANARY not in server.heard


@pytest.mark.medium
def test_a_stalled_server_does_not_get_clear_text_after_the_timeout(world: World) -> None:
    with Recorder() as server:
        with _wrap(world, socket.socket(), eager=True) as tls:
            tls.settimeout(0.05)
            with pytest.raises(TimeoutError):
                tls.connect(server.address)
            with pytest.raises(TimeoutError):
                tls.send(CANARY)
            with pytest.raises(ValueError, match="already-connected"):
                tls.connect(server.address)
        server.wait()
    assert CANARY not in server.heard


@pytest.mark.parametrize("how", [socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR])
@pytest.mark.parametrize("checked", [False, True])
def test_nothing_goes_out_or_comes_in_after_a_shutdown(
    world: World, how: int, checked: bool
) -> None:
    with TLSServer(server_context(world.good)) as server:
        with _wrap(world, server.dial(), eager=checked) as tls:
            tls.shutdown(how)
            for operation in ALL.values():
                with pytest.raises(OSError, match=NO_TLS) as failure:
                    operation(tls)
                assert failure.value.errno == errno.ENOTCONN
        server.wait()
    assert [visit.heard for visit in server.visits] == [b""]


def test_nothing_goes_out_or_comes_in_while_another_thread_closes_the_socket(world: World) -> None:
    """The other thread's calls run here between the end of TLS and the close of the descriptor."""
    # The end of a file that makefile() made would close the socket here.
    calls = {name: call for name, call in (SENDING | READING).items() if "makefile" not in name}
    errors: dict[str, str] = {}

    def before_close(frame: Any, event: str, called: Any) -> None:
        if event == "c_call" and called.__name__ == "close":
            sys.setprofile(None)
            for name, operation in calls.items():
                try:
                    operation(tls)
                except OSError as exc:
                    errors[name] = str(exc)

    with RecordingServer(server_context(world.good)) as server:
        tls = _wrap(world, server.connect(), eager=True)
        tls.settimeout(0.05)
        sys.setprofile(before_close)
        try:
            tls.close()
        finally:
            sys.setprofile(None)
        (recording,) = server.recordings()
    assert list(errors) == list(calls)
    assert all(NO_TLS in error for error in errors.values())
    assert CANARY not in recording.raw
    with pytest.raises(OSError, match="Bad file descriptor"):  # as Python's own socket
        tls.send(CANARY)


def test_a_socket_that_is_still_connecting_sends_nothing(world: World) -> None:
    """Python treats a socket that was wrapped during ``connect`` as one without TLS.

    It would send clear text; certpin's socket raises an error for each operation.
    """
    with Recorder() as server:
        with _wrap(world, socket.socket()) as tls:
            socket.socket.connect(tls, server.address)  # TCP connects without Python's knowledge
            for operation in ALL.values():
                with pytest.raises(OSError, match=NO_TLS):
                    operation(tls)
        server.wait()
    assert not server.heard


def test_a_non_blocking_connect_keeps_tls(world: World) -> None:
    with TLSServer(server_context(world.evil)) as server:
        with _wrap(world, socket.socket()) as tls:
            tls.setblocking(False)
            with pytest.raises(BlockingIOError):
                tls.connect(server.address)
            select.select([], [tls], [], PATIENCE)
            with pytest.raises(ssl.SSLError):  # it waits for data, or the server was fast enough
                tls.send(CANARY)
            tls.settimeout(PATIENCE)
            with pytest.raises(ssl.SSLCertVerificationError):
                tls.send(CANARY)
        server.wait()
    assert [visit.heard for visit in server.visits] == [b""]


@pytest.mark.medium
@pytest.mark.parametrize("connect", ["connect", "connect_ex"])
def test_a_failed_connect_can_be_tried_again(world: World, connect: str) -> None:
    with socket.create_server((LOOPBACK, 0)) as closed:
        nowhere = closed.getsockname()
    with TLSServer(server_context(world.good)) as server:
        with _wrap(world, socket.socket(), eager=True) as tls:
            with pytest.raises(ConnectionRefusedError):
                tls.connect(nowhere)
            with pytest.raises(OSError, match=NO_TLS):
                tls.send(CANARY)
            assert not getattr(tls, connect)(server.address)
            tls.send(CANARY)
            assert tls.recv(5) == b"hello"
        server.wait()
    assert server.visits[0].heard == CANARY


def test_a_connection_that_was_reset_leaves_no_socket_open(world: World) -> None:
    """The server resets the connection between ``connect`` and ``wrap_socket``."""
    with socket.create_server((LOOPBACK, 0)) as server:
        sock = socket.create_connection(server.getsockname(), PATIENCE)
        accepted, _ = server.accept()
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        accepted.close()  # resets it
    select.select([sock], [], [], PATIENCE)
    number = sock.fileno()
    with pytest.raises(ConnectionResetError):
        _wrap(world, sock)
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        os.fstat(number)


def test_no_datagram_call_bypasses_tls(world: World) -> None:
    """``sendto`` and the other datagram calls raise an error.

    With TCP Fast Open (RFC 7413), ``sendto`` would connect and send at once.
    """
    fast_open = getattr(socket, "MSG_FASTOPEN", 0)
    with Recorder() as server:
        with _wrap(world, socket.socket()) as tls:
            with pytest.raises(ValueError, match="not allowed"):
                tls.sendto(CANARY, fast_open, server.address)
            for receive in (tls.recvfrom, tls.recvfrom_into):
                with pytest.raises(ValueError, match="not allowed"):
                    receive(bytearray(1))
            for message in (tls.sendmsg, tls.recvmsg, tls.recvmsg_into):
                with pytest.raises(NotImplementedError):
                    message([CANARY])
        server.dial().close()
        server.wait()
    assert not server.heard


def test_a_socket_without_tls_behaves_like_pythons(world: World) -> None:
    python = ssl.create_default_context().wrap_socket(socket.socket(), server_hostname=HOST)
    with _wrap(world, socket.socket()) as tls, python as plain:
        for name in ("version", "cipher", "compression", "selected_alpn_protocol", "pending"):
            assert getattr(tls, name)() == getattr(plain, name)()
        for name in ("session", "session_reused", "server_hostname", "server_side"):
            assert getattr(tls, name) == getattr(plain, name)


def test_a_checked_connection_may_be_unwrapped_on_purpose(world: World) -> None:
    """``unwrap`` works if both sides agree, as for FTP's CCC command (RFC 4217 section 12)."""
    server_side, client_side = socket.socketpair()

    def serve() -> None:
        tls = server_context(world.good).wrap_socket(server_side, server_side=True)
        with tls:
            tls.unwrap()
            heard.append(tls.recv(100))

    heard: list[bytes] = []
    thread = threading.Thread(target=serve)
    thread.start()
    with _wrap(world, client_side, eager=True) as tls:
        tls.unwrap()
        tls.send(b"in clear text, on purpose")
    thread.join()
    assert heard == [b"in clear text, on purpose"]


@pytest.mark.parametrize("name", ["sslsocket_class", "sslobject_class"])
def test_the_classes_that_check_cannot_be_replaced(world: World, name: str) -> None:
    context = PinnedSSLContext(world.pins())
    with pytest.raises(AttributeError, match="would not check"):
        setattr(context, name, getattr(ssl.SSLContext, name))
