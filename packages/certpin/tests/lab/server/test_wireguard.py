"""The lab's WireGuard server, with tunnel streams simulated by socket pairs.

test_tunnel.py has a real tunnel.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import dns.message
import pytest

from certpin.errors import MissingExtraError
from certpin.lab.attacks import CONTROL
from certpin.lab.case import LabError
from certpin.lab.device import tunnel as shell
from certpin.lab.device.connection import routed_connection
from certpin.lab.device.tunnel import WireGuard, may_pass, wireguard
from certpin.lab.device.turn import ClientSignal
from certpin.lab.pki import Authorities, Style, TestPKI
from certpin.lab.scenario import AnswerContext
from certpin.lab.server.conversation import Routed
from certpin.lab.server.dns import Addresses, LabResolver
from certpin.lab.server.session import CaseRun
from tests.lab._serving import ONE, Rehearsal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

HOST = "api.bank.example"


class Stream:
    """A substitute for a tunnelled stream of `mitmproxy_rs`: one end of a socket pair."""

    def __init__(self, ends: Any, sockname: tuple[str, int]) -> None:
        self._reader, self._writer = ends
        self._sockname = sockname
        self._busy = False
        self.closed = False

    async def read(self, n: int, /) -> bytes:
        assert not self._busy, "a second read at the same time ends the whole server"
        self._busy = True
        data: bytes = await self._reader.read(n)
        self._busy = False
        return data

    def write(self, data: bytes, /) -> None:
        self._writer.write(data)

    async def drain(self) -> None:
        await self._writer.drain()

    def write_eof(self) -> None:
        self._writer.write_eof()

    def close(self) -> None:
        self.closed = True
        self._writer.close()

    async def wait_closed(self) -> None:
        await self._writer.wait_closed()

    def get_extra_info(self, name: str, /) -> Any:
        return {"sockname": self._sockname}[name]


class NotRead(Stream):
    """A stream of a client that no longer reads: each write after the first fails.

    The first has the server's part of the handshake; the next one has session tickets.
    """

    _written = 0

    async def drain(self) -> None:
        self._written += 1
        if self._written > 1:
            raise OSError("connection closed")  # as `mitmproxy_rs` does
        await super().drain()

    def write_eof(self) -> None:
        super().write_eof()
        raise OSError("connection closed")


class Reset(Stream):
    """A stream that ends with a reset."""

    async def read(self, n: int, /) -> bytes:
        if data := await super().read(n):
            return data
        raise ConnectionResetError


class Lab:
    """The lab's WireGuard server, without a real tunnel, that serves the honest control case."""

    def __init__(self, now: datetime | None = None) -> None:
        from datetime import UTC, datetime

        self.pki = TestPKI(
            Authorities(now or datetime.now(UTC)), HOST, "cdn.bank.example", Style.LEAF
        )
        scenario = CONTROL.scenario(self.pki)
        self.case_run = CaseRun(scenario, AnswerContext("token"), (HOST, "cdn.bank.example"))
        self.addresses = Addresses()
        self.ended: list[Any] = []
        resolver = LabResolver(lambda name: self.addresses.allot(name) if name == HOST else None)
        self.guard = WireGuard(
            lambda to: Routed(self.case_run, to), resolver, self.addresses, self.ended.append
        )

    async def meet(
        self,
        to: tuple[str, int],
        client: Callable[[socket.socket], Any],
        *,
        udp: bool = False,
        kind: type[Stream] = Stream,
    ) -> tuple[Any, Stream]:
        """Run a client in a thread, with a stream that the tunnel routes to the address ``to``.

        ``kind`` is the class of the stream.

        Returns:
            the client's result, and the stream
        """
        near, far = socket.socketpair()
        far.settimeout(20)
        stream = kind(await asyncio.open_connection(sock=near), to)
        take: Callable[[Any], Awaitable[None]] = self.guard.take_udp if udp else self.guard.take_tcp

        def call() -> Any:
            with far:
                return client(far)

        got, _ = await asyncio.gather(asyncio.to_thread(call), take(stream))
        with suppress(OSError):  # the client may have closed its end before the last write
            await stream.wait_closed()
        return got, stream

    def request(self, sock: socket.socket) -> bytes:
        context = ssl.create_default_context(cadata=self.pki.root.pem.decode())
        with context.wrap_socket(sock, server_hostname=HOST) as tls:
            tls.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = b""
            while piece := tls.recv(4096):
                answer += piece
            return answer


def test_the_address_of_a_host_under_test_is_the_lab() -> None:
    lab = Lab()
    address = lab.addresses.allot(HOST)
    got, stream = asyncio.run(lab.meet((address, 443), lab.request))
    assert b"token" in got
    assert stream.closed
    (seen,) = lab.case_run.connections
    assert (seen.via, seen.target, seen.data[:3]) == ("wireguard", HOST, b"GET")
    assert len(lab.ended) == 1


def test_the_name_in_the_hello_decides_at_any_other_address() -> None:
    lab = Lab()
    got, _ = asyncio.run(lab.meet(("192.0.2.1", 443), lab.request))
    assert b"token" in got


@pytest.mark.parametrize("kind", [Stream, NotRead, Reset])
@pytest.mark.parametrize("orderly", [True, False], ids=["close_notify", "silently"])
def test_a_client_that_leaves_after_the_handshake_has_closed(
    kind: type[Stream], orderly: bool
) -> None:
    schedule = Rehearsal(ONE, hosts=(HOST,)).schedule  # it begins with the control case
    lab = Lab()
    lab.guard = WireGuard(
        partial(routed_connection, schedule),
        LabResolver(lambda _: None),
        lab.addresses,
        shell._report_end,
    )
    context = ssl.create_default_context(cadata=schedule.pkis[HOST].root.pem.decode())

    def leave(sock: socket.socket) -> None:
        with context.wrap_socket(sock, server_hostname=HOST) as tls, suppress(OSError):
            if orderly:
                tls.unwrap()

    asyncio.run(lab.meet((lab.addresses.allot(HOST), 443), leave, kind=kind))
    turn = schedule.queues[HOST].current
    assert turn is not None
    assert [visit.signal for visit in turn.visits] == [ClientSignal.CLOSED]


def test_clear_text_to_a_host_under_test_is_evidence() -> None:
    lab = Lab()
    address = lab.addresses.allot(HOST)

    def speak(sock: socket.socket) -> bytes:
        sock.sendall(b"GET /secret HTTP/1.1\r\n\r\n")
        return sock.recv(4096)

    asyncio.run(lab.meet((address, 80), speak))
    assert b"/secret" in lab.case_run.connections[0].clear


@pytest.fixture
def may_pass_inward(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "may_pass", lambda _: True)


async def beside(lab: Lab, serve: Any, client: Callable[[socket.socket], Any]) -> Any:
    """Run a client. The lab relays its stream to a real server (``serve``). Return its result."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        to = server.sockets[0].getsockname()
        return (await lab.meet(to, client))[0]


@pytest.mark.usefixtures("may_pass_inward")
@pytest.mark.parametrize("words", [b"hello, this is no TLS", b"\x16\x03\x01 neither", b"\x16\x04"])
def test_what_is_not_tls_arrives_octet_for_octet(words: bytes) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read())  # until the client closes its side
        writer.close()

    def speak(sock: socket.socket) -> bytes:
        sock.sendall(words)
        sock.shutdown(socket.SHUT_WR)
        return sock.recv(4096)

    lab = Lab()
    assert asyncio.run(beside(lab, echo, speak)) == words
    assert (lab.case_run.connections, lab.ended) == ([], [])


@pytest.mark.usefixtures("may_pass_inward")
def test_a_server_that_speaks_first_is_heard_and_no_octet_of_the_client_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shell, "_SILENCE", 0.01)

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 ready\r\n")
        writer.write(await reader.readline())
        writer.close()

    def speak(sock: socket.socket) -> bytes:
        greeting = sock.recv(11)
        sock.sendall(b"EHLO me\r\n")
        return greeting + sock.recv(100)

    assert asyncio.run(beside(Lab(), greet, speak)) == b"220 ready\r\nEHLO me\r\n"


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "::1", "::ffff:127.0.0.1", "169.254.169.254", "fe80::1", "0.0.0.0", "::",
     "224.0.0.1", "198.18.0.53", "::ffff:198.18.0.53"],
)  # fmt: skip
def test_device_does_not_reach_local_addresses(address: str) -> None:
    assert not may_pass(address)
    lab = Lab()
    got, stream = asyncio.run(lab.meet((address, 443), lambda sock: sock.recv(1)))
    assert (got, stream.closed, lab.ended) == (b"", True, [])


@pytest.mark.parametrize("address", ["192.0.2.1", "10.0.0.1", "2001:db8::1"])
def test_other_addresses_may_be_passed_to(address: str) -> None:
    assert may_pass(address)


@pytest.mark.parametrize("resolver", ["198.18.0.53", "8.8.8.8"])
def test_questions_to_any_resolver_are_answered_here(resolver: str) -> None:
    question = dns.message.make_query(HOST, "A")

    def ask(sock: socket.socket) -> bytes:
        sock.sendall(question.to_wire())
        return sock.recv(4096)

    lab = Lab()
    got, stream = asyncio.run(lab.meet((resolver, 53), ask, udp=True))
    assert "198.19.0.1" in dns.message.from_wire(got).to_text()
    assert stream.closed


@pytest.mark.parametrize("port", [443, 123, 5353])
def test_other_packets_are_dropped(port: int) -> None:
    def ask(sock: socket.socket) -> bytes:
        try:
            sock.sendall(dns.message.make_query(HOST, "A").to_wire())
            return sock.recv(4096)
        except ConnectionError:  # closed already, or with the question unread
            return b""

    got, stream = asyncio.run(Lab().meet(("192.0.2.1", port), ask, udp=True))
    assert (got, stream.closed) == (b"", True)


def test_one_connection_too_many_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "_MAX_STREAMS", 0)
    lab = Lab()
    got, stream = asyncio.run(lab.meet(("192.0.2.1", 443), lambda sock: sock.recv(1)))
    assert (got, stream.closed, lab.case_run.connections) == (b"", True, [])


def test_silent_client_is_relayed_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "_SILENCE", 0.01)
    monkeypatch.setattr(shell, "PATIENCE", 0.01)
    lab = Lab()
    address = lab.addresses.allot(HOST)
    got, _ = asyncio.run(lab.meet((address, 443), lambda sock: sock.recv(1)))
    assert (got, len(lab.ended)) == (b"", 1)


def test_stopping_ends_every_connection() -> None:
    async def stop() -> bool:
        near, far = socket.socketpair()
        with far:
            stream = Stream(await asyncio.open_connection(sock=near), ("192.0.2.1", 443))
            lab = Lab()
            task = asyncio.create_task(lab.guard.take_tcp(stream))
            await asyncio.sleep(0)
            await lab.guard.stop()
            await stream.wait_closed()
            return task.done() and stream.closed

    assert asyncio.run(stop())


def test_without_the_package_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "mitmproxy_rs.wireguard", None)
    monkeypatch.setattr(shell, "_SINCE", (3, 11))
    with pytest.raises(MissingExtraError, match=r"certpin\[wireguard\]"):
        wireguard()


def test_on_an_older_python_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "_SINCE", (3, 99))
    with pytest.raises(LabError, match=r"Python 3\.12"):
        wireguard()


def test_hosts_have_unique_addresses_up_to_a_limit() -> None:
    addresses = Addresses()
    found = [addresses.allot(f"{n}.example") for n in range(5000)]
    assert len(set(found)) == 4096
    assert addresses.allot("7.example") == found[7]
    assert addresses.host(found[7]) == "7.example"
    assert addresses.host("192.0.2.1") == "192.0.2.1"
    assert found[-1] == found[4095]
