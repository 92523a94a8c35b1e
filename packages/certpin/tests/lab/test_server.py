"""The lab's small HTTPS server: real TLS, an exact record of its input, and no leftovers."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
from typing import TYPE_CHECKING

import pytest

from certpin.lab import Authority, Identity, LabServer, lab_server
from certpin.x509 import Certificate
from tests.servers._run import accepts

if TYPE_CHECKING:
    from collections.abc import Iterator

HOST = "lab.example"


@pytest.fixture(scope="module")
def identity() -> Identity:
    return Authority("Server Root").issue(HOST)


@pytest.fixture
def server(identity: Identity) -> Iterator[LabServer]:
    with LabServer(identity) as running:
        yield running


def _anyone() -> ssl.SSLContext:
    """Return a client context that accepts any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@contextlib.contextmanager
def _connected(server: LabServer) -> Iterator[ssl.SSLSocket]:
    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=10) as plain,
        _anyone().wrap_socket(plain, server_hostname=HOST) as connection,
    ):
        yield connection


def _presented(server: LabServer) -> Certificate:
    with _connected(server) as connection:
        der = connection.getpeercert(binary_form=True)
    assert der is not None
    return Certificate.from_der(der)


def test_it_answers_a_request_with_its_body(identity: Identity) -> None:
    with LabServer(identity, b"canary") as server:
        client = http.client.HTTPSConnection("127.0.0.1", server.port, context=_anyone())
        with contextlib.closing(client):
            client.request("GET", "/path")
            response = client.getresponse()
            assert (response.status, response.read()) == (200, b"canary")
    assert server.received[0].startswith(b"GET /path HTTP/1.1\r\n")


def test_it_presents_the_certificate_it_was_given(server: LabServer, identity: Identity) -> None:
    assert _presented(server) == identity.certificate


def test_server_can_change_its_certificate(server: LabServer) -> None:
    other = Authority("Other").issue(HOST)
    server.use(other)
    assert _presented(server) == other.certificate


def test_a_client_that_leaves_after_the_handshake_said_nothing(server: LabServer) -> None:
    with _connected(server):
        pass
    server.wait_for(1)
    assert server.received == [b""]


def test_a_client_that_leaves_during_the_handshake_said_nothing(server: LabServer) -> None:
    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=10) as plain,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        ssl.create_default_context().wrap_socket(plain, server_hostname=HOST)
    server.wait_for(1)
    assert server.received == [b""]


def test_a_client_that_says_no_tls_said_nothing(server: LabServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
    server.wait_for(1)
    assert server.received == [b""]


def test_what_a_client_said_before_it_broke_off_is_noted(server: LabServer) -> None:
    """The server records data that a client sent before it reset the connection.

    Otherwise a leak would look like a refusal.
    """
    with _connected(server) as connection:
        connection.sendall(b"secr")
        linger = b"\1\0\0\0\0\0\0\0"  # closing resets the connection
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        socket.socket.shutdown(connection, socket.SHUT_WR)
    server.wait_for(1)
    assert server.received == [b"secr"]


def test_half_a_request_is_noted_when_the_client_closes(server: LabServer) -> None:
    with _connected(server) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
    server.wait_for(1)
    assert server.received == [b"GET / HTTP/1.1\r\n"]


def test_an_endless_request_is_cut(server: LabServer) -> None:
    with _connected(server) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(b"x" * (4 * lab_server._MAX_REQUEST))
        # Only then close: the tickets of TLS 1.3 are unread, so closing resets the connection, and
        # data that the server has not read yet can be lost.
        server.wait_for(1)
    assert lab_server._MAX_REQUEST <= len(server.received[0]) <= lab_server._MAX_REQUEST + 4096


def test_connections_are_served_side_by_side(server: LabServer) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(_connected(server)) for _ in range(5)]
        for number, client in enumerate(reversed(clients)):
            client.sendall(b"%d\r\n\r\n" % number)
            assert client.recv(12) == b"HTTP/1.1 200"
    server.wait_for(5)
    assert sorted(server.received) == [b"%d\r\n\r\n" % number for number in range(5)]


def test_waiting_for_connections_times_out(
    server: LabServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lab_server, "_PATIENCE", 0.01)
    with pytest.raises(TimeoutError, match="fewer than 2 connections arrived"):
        server.wait_for(2)


def test_nothing_is_left_behind(identity: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab_server, "_PATIENCE", 600.0)  # longer than a test may take
    before = set(threading.enumerate())
    with contextlib.ExitStack() as stack, LabServer(identity) as server:
        assert accepts(server.port)
        stack.enter_context(_connected(server)).sendall(b"said")
    assert set(threading.enumerate()) <= before
    # Each connection has a thread, so the empty one of ``accepts`` may be recorded last.
    assert sorted(server.received) == [b"", b"said"], "the open connection is recorded, too"
    assert not accepts(server.port)


@pytest.mark.medium
def test_servers_run_side_by_side(identity: Identity) -> None:
    with LabServer(identity) as one, LabServer(identity) as other:
        assert one.port != other.port
