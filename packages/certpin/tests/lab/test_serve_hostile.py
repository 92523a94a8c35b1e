"""A hostile client costs the lab one connection, and does not affect other clients."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from certpin.lab.device.lab import _allowed
from certpin.lab.server import port
from certpin.lab.server.relay import is_local
from certpin.lab.verdict import Verdict
from tests.lab._device import HOST, call, case_run, cases, connect, device_lab, pinned, results
from tests.lab._serving import hello_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from certpin.lab.device.lab import DeviceLab

    Hostile = Callable[[int], socket.socket]

_MANY = 20


def _plain(port: int, data: bytes) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), 10)
    sock.sendall(data)
    return sock


def _tunnelled(port: int, data: bytes) -> socket.socket:
    sock = connect(port, HOST)
    with suppress(OSError):  # the lab may close before everything is sent
        sock.sendall(data)
    return sock


def _half_open(port: int) -> socket.socket:
    return _plain(port, b"")


def _junk(port: int) -> socket.socket:
    return _plain(port, os.urandom(4096).replace(b"\r\n\r\n", b""))


def _half_a_request(port: int) -> socket.socket:
    return _plain(port, b"CONNECT ")


def _endless_request(port: int) -> socket.socket:
    return _plain(port, b"CONNECT " + b"a" * 20_000)


def _slow_handshake(port: int) -> socket.socket:
    return _tunnelled(port, hello_for(HOST)[:10])


def _junk_handshake(port: int) -> socket.socket:
    return _tunnelled(port, os.urandom(4096))


def _junk_after_the_hello(port: int) -> socket.socket:
    return _tunnelled(port, hello_for(HOST) + os.urandom(4096))


def _long_hello(port: int) -> socket.socket:
    """Open a tunnel, send a ClientHello of a million bytes through it, and return the socket."""
    message = b"\1" + (1_000_000).to_bytes(3) + bytes(1_000_000)
    pieces = [message[at : at + 16_384] for at in range(0, len(message), 16_384)]
    return _tunnelled(
        port, b"".join(b"\x16\3\1" + len(piece).to_bytes(2) + piece for piece in pieces)
    )


def _never_reads(port: int) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    sock.connect(("127.0.0.1", port))
    sock.sendall(b"GET /roots.pem HTTP/1.1\r\n\r\n")
    return sock


def _socks_junk(port: int) -> socket.socket:
    return _plain(port, b"\5\xff" + bytes(100))


HOSTILE: tuple[Hostile, ...] = (
    _half_open,
    _junk,
    _half_a_request,
    _endless_request,
    _slow_handshake,
    _junk_handshake,
    _junk_after_the_hello,
    _long_hello,
    _never_reads,
    _socks_junk,
)


@pytest.mark.medium
@pytest.mark.parametrize("hostile", HOSTILE)
def test_other_clients_are_not_affected(hostile: Hostile) -> None:
    with device_lab(cases("rogue-ca-in-store", "untrusted-ca")) as lab:
        context = pinned(lab)
        crowd: list[socket.socket] = []
        try:
            for _ in range(3):
                crowd += [hostile(lab.port) for _ in range(_MANY // 4)]
                call(lab, context)
            crowd += [hostile(lab.port) for _ in range(_MANY // 4)]
            case_run(lab, context)
            verdict_of = {result.case.name: result.verdict for _, result in results(lab)}
        finally:
            for sock in crowd:
                sock.close()
    assert verdict_of == dict.fromkeys(("rogue-ca-in-store", "untrusted-ca"), Verdict.REJECT)


@pytest.mark.parametrize("hostile", [_junk_after_the_hello, _long_hello, _endless_request])
def test_impossible_input_ends_the_connection(hostile: Hostile) -> None:
    with device_lab([]) as lab, hostile(lab.port) as sock:
        sock.settimeout(10)
        assert _ends(sock)


def _ends(sock: socket.socket) -> bool:
    try:
        while sock.recv(65_536):
            pass
    except ConnectionResetError:
        pass
    return True


@pytest.mark.medium
def test_silence_after_the_hello_ends_and_is_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    with device_lab(cases("rogue-ca-in-store")) as lab:
        context = pinned(lab)
        assert call(lab, context)
        monkeypatch.setattr(port, "PATIENCE", 0.05)
        for _ in range(3):
            with _tunnelled(lab.port, hello_for(HOST)) as sock:
                sock.settimeout(10)
                assert _ends(sock)
        monkeypatch.undo()
        assert results(lab) == []
        case_run(lab, context)
        assert [result.verdict for _, result in results(lab)] == [Verdict.REJECT]


def test_connections_beyond_the_limit_wait() -> None:
    with device_lab([]) as lab:
        lab._gate._limit = 5
        held = [_held(lab) for _ in range(5)]
        with socket.create_connection(("127.0.0.1", lab.port), 10) as waiting:
            waiting.sendall(b"GET / HTTP/1.1\r\n\r\n")
            for _ in range(10):  # iterations of the loop, in which it could accept one more
                assert lab._loop.call(lambda: len(lab._gate._links)) == 5
            held.pop().close()
            assert waiting.recv(100).startswith(b"HTTP/1.1 200 ")
        for sock in held:
            sock.close()


def _held(lab: DeviceLab) -> socket.socket:
    """Return an open connection through the lab's proxy on which nothing was sent."""
    return connect(lab.port, HOST)


@pytest.mark.parametrize(
    ("address", "own"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("169.254.169.254", True),
        ("fe80::1%eth0", True),
        ("0.0.0.0", True),
        ("224.0.0.251", True),
        ("ff02::fb", True),
        ("192.168.1.7", False),
        ("2001:db8::7", False),
    ],
)
def test_local_addresses_are_not_allowed(address: str, own: bool) -> None:
    assert is_local(address) is own


@dataclass
class _Client:
    address: str

    def getpeername(self) -> tuple[str, int]:
        if not self.address:
            raise OSError
        return self.address, 5


@pytest.mark.parametrize("client", ["192.168.1.7", "2001:db8::7", "fe80::1%eth0", ""])
def test_another_device_reaches_nothing_of_this_machine(client: str) -> None:
    allowed = _allowed(_Client(client))  # type: ignore[arg-type]
    assert not allowed("127.0.0.1")
    assert allowed("192.168.1.9")


def test_this_machine_reaches_itself() -> None:
    assert _allowed(_Client("::1"))("127.0.0.1")  # type: ignore[arg-type]


def test_another_device_is_not_relayed_to_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    from certpin.lab.device import lab as gate

    monkeypatch.setattr(gate, "_allowed", lambda _: lambda address: not is_local(address))
    with socket.create_server(("127.0.0.1", 0)) as server, device_lab([]) as lab:
        with connect(lab.port, "localhost", server.getsockname()[1]) as sock:
            sock.sendall(b"secret")
            sock.settimeout(10)
            assert _ends(sock)
        reached, _ = server.accept()
        with reached:
            reached.settimeout(10)
            assert reached.recv(100) == b""
