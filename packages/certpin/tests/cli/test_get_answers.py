"""``certpin get``: truncated, endless, hostile and missing responses."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import pytest

from certpin.cli import get
from certpin.lab.lab_server import server_context
from certpin.tls import PinnedSSLContext
from tests.probe.scan._servers import Server, flood

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from certpin.lab import Identity
    from certpin.pins import PinSet
    from tests.cli.conftest import Run

    Serve = Callable[[bytes | Iterable[bytes]], int]

pytestmark = pytest.mark.peer("nginx")

GOODBYE = b"<goodbye>"


@pytest.fixture
def serve(identity: Identity) -> Iterator[Serve]:
    """Return a function that answers one HTTPS request with given bytes, and returns the port.

    The bytes may be an iterable of pieces.

    Then the server closes TCP. It closes TLS before that only if the bytes end with ``GOODBYE``.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    context = server_context(identity)

    def answer(pieces: Iterable[bytes]) -> None:
        plain, _ = listener.accept()
        with context.wrap_socket(plain, server_side=True) as connection:
            connection.recv(4096)
            # The client closes when it has read too much, and it sends no close_notify.
            with suppress(OSError):
                for data in pieces:
                    connection.sendall(data.removesuffix(GOODBYE))
                    if data.endswith(GOODBYE):
                        connection.unwrap()

    def begin(data: bytes | Iterable[bytes]) -> int:
        pieces = [data] if isinstance(data, bytes) else data
        thread = Thread(target=answer, args=(pieces,), daemon=True)
        thread.start()
        port: int = listener.getsockname()[1]
        return port

    yield begin
    listener.close()


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345" + GOODBYE,
        b"HTTP/1.1 200 OK\r\n\r\n12345",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"",
        b"\x1b[2Jjunk\r\n\r\n",
        b"HTTP/1.1 999999 Huge\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 1000,
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000,
    ],
)
def test_a_truncated_or_missing_response_is_an_error(
    pinned: Run, serve: Serve, data: bytes
) -> None:
    done = pinned("get", f"https://localhost:{serve(data)}/")
    assert (done.code, done.out) == (3, "")
    assert "no response: " in done.err
    assert "\x1b" not in done.err


@pytest.mark.parametrize("data", [b"HTTP/1.1 200 OK\r\n\r\n12345", b"HTTP/1.1 200 OK\r\n"])
def test_a_truncated_response_is_an_error_on_an_early_python(
    pinned: Run, serve: Serve, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python 3.11.2, that of Debian 12, sets the option in each context (CPython's issue 95494)."""

    def context(pins: PinSet) -> PinnedSSLContext:
        made = PinnedSSLContext(pins)
        made.options |= ssl.OP_IGNORE_UNEXPECTED_EOF
        return made

    monkeypatch.setattr("certpin.tls.PinnedSSLContext", context)
    done = pinned("get", f"https://localhost:{serve(data)}/")
    assert (done.code, done.out) == (3, "")
    assert "no response: " in done.err


def test_hostile_headers_do_not_reach_the_terminal(pinned: Run, serve: Serve) -> None:
    data = b"HTTP/1.1 200 \x1b[2J\r\nX: \x1b]0;owned\x07\r\nContent-Length: 1\r\n\r\n\x1b"
    done = pinned("get", "-i", f"https://localhost:{serve(data)}/")
    head, _, body = done.out.partition("\n\n")
    assert (done.code, body) == (0, "\x1b")
    assert "\x1b" not in head
    assert r"200 \x1b[2J" in head


def test_a_response_without_a_length_ends_with_tls(pinned: Run, serve: Serve) -> None:
    data = b"HTTP/1.1 200 OK\r\n\r\n12345" + GOODBYE
    assert pinned("get", f"https://localhost:{serve(data)}/").raw == b"12345"


def test_a_body_of_any_bytes_is_passed_on(pinned: Run, serve: Serve) -> None:
    body = bytes(range(256))
    data = b"HTTP/1.1 200 OK\r\nContent-Length: 256\r\n\r\n" + body
    assert pinned("get", f"https://localhost:{serve(data)}/").raw == body


def _slowly(begin: bytes, count: int, end: bytes = b"") -> Iterator[bytes]:
    """Yield the beginning of a response, then ``count`` bytes, one each twentieth of a second."""
    yield begin
    never = Event()
    for _ in range(count):
        never.wait(0.05)
        yield b"x"
    yield end


def _refused(done: Any) -> bool:
    return (done.code, done.out) == (3, "") and "--timeout SECONDS" in done.err


@pytest.mark.medium
def test_interim_responses_without_end_are_no_response(pinned: Run, serve: Serve) -> None:
    """Python before 3.15 skips any number of them.

    They are 25 MB, more than the buffers of both sockets can hold when the client ends.
    """
    interim = [b"HTTP/1.1 100 Continue\r\n\r\n" * 100] * 10_000  # some seconds
    port = serve([*interim, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"])
    done = pinned("get", f"https://localhost:{port}/", "--timeout", "0.3")
    assert (done.code, done.out) == (3, "")


@pytest.mark.medium
def test_headers_that_take_too_long_are_abandoned_at_the_time_limit(
    pinned: Run, serve: Serve
) -> None:
    pieces = _slowly(b"HTTP/1.1 200 OK\r\nX: ", 60, b"\r\nContent-Length: 0\r\n\r\n")
    assert _refused(pinned("get", f"https://localhost:{serve(pieces)}/", "--timeout", "0.4"))


@pytest.mark.medium
def test_a_body_that_takes_too_long_is_abandoned(
    pinned: Run, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(get, "_WHOLE", 0.5)
    port = serve(_slowly(b"HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n", 60))
    assert _refused(pinned("get", f"https://localhost:{port}/", "--timeout", "1"))


@pytest.mark.slow
def test_a_long_download_may_take_longer_than_the_time_limit(pinned: Run, serve: Serve) -> None:
    port = serve(_slowly(b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n", 30))
    done = pinned("get", f"https://localhost:{port}/", "--timeout", "1")
    assert done.raw == b"x" * 30


@pytest.mark.medium
def test_a_handshake_without_end_is_abandoned_at_the_time_limit(pinned: Run) -> None:
    with Server(flood) as server:
        assert _refused(pinned("get", f"https://localhost:{server.port}/", "--timeout", "0.3"))
