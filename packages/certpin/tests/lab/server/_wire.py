"""A TLS client of OpenSSL and the lab's server, connected in memory without a socket."""

from __future__ import annotations

import ssl
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

from certpin.lab.pki import Authorities, Style, TestPKI
from certpin.lab.scenario import AnswerContext, Scenario, ServerStep
from certpin.lab.server.session import CaseRun

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from certpin.lab.server.handmade import HandMadeTls
    from certpin.lab.server.session import Session

HOST, SECOND, UNPINNED = HOSTS = ("api.bank.example", "cdn.bank.example", "www.partner.example")
TOKEN = "lab-answer-1"


@cache
def pki() -> TestPKI:
    """Return a test PKI, created once."""
    return TestPKI(Authorities(datetime.now(UTC)), HOST, SECOND, Style.LEAF)


def case_run(*steps: ServerStep, second: tuple[ServerStep, ...] = (), clients: str = "") -> CaseRun:
    """Return a case that is being served, with these servers for the first host.

    Without ``steps`` the server is honest. ``second`` are the servers for the second host.
    """
    answer_context = AnswerContext(TOKEN)
    answer_context.set_hosts(HOSTS)
    scenario = Scenario.of(*(steps or (pki().honest,)), second=second)
    return CaseRun(scenario, answer_context, HOSTS, clients=clients)


def anyone() -> ssl.SSLContext:
    """Return a client context that accepts any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Wire:
    """A TLS client of OpenSSL that exchanges bytes with a session of the lab in memory."""

    def __init__(
        self,
        session: Session,
        context: ssl.SSLContext | None = None,
        host: str = HOST,
        resumed: ssl.SSLSession | None = None,
    ) -> None:
        self.session = session
        self.deliver: Callable[[bytes], None] = session.receive
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = (context or anyone()).wrap_bio(
            self._in, self._out, server_hostname=host, session=resumed
        )

    def handshake(self) -> Wire:
        """Complete the handshake on both sides."""
        for _ in range(6):
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self.carry()
        self.carry()
        return self

    def say(self, data: bytes) -> bytes:
        """Send data, and return the immediate answer."""
        self.tls.write(data)
        return self.hear()

    def hear(self) -> bytes:
        """Return the decrypted data that the server has sent."""
        self.carry()
        received = b""
        try:
            while piece := self.tls.read(65_536):
                received += piece
        except ssl.SSLWantReadError:
            pass
        return received

    def carry(self) -> None:
        """Move pending bytes in both directions."""
        if waiting := self._out.read():
            self.deliver(waiting)
        self._in.write(self.session.data_to_send())


def hello_of(context: ssl.SSLContext, host: str | None = HOST) -> bytes:
    """Return the ClientHello that OpenSSL sends."""
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=host)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError("a handshake without a server")


def records(message: bytes, sizes: Sequence[int]) -> bytes:
    """Split a handshake message into records of these sizes; the last size repeats."""
    made, at, sizes = b"", 0, list(sizes)
    while at < len(message):
        size = sizes.pop(0) if len(sizes) > 1 else sizes[0]
        piece = message[at : at + size]
        made += b"\x16\3\1" + len(piece).to_bytes(2) + piece
        at += size
    return made


def read_and_close(client: ssl.SSLObject, server: HandMadeTls) -> None:
    """Send several records from a hand-made TLS server to a client, and close TLS on both sides.

    Fails if the client does not read all data, or if a side does not see the other's end.
    """
    large = bytes(range(256)) * 300  # several records
    server.write(large)
    received = b""
    while len(received) < len(large):
        received += client.read(100_000)
    assert received == large
    server.unwrap()
    assert client.read(1) == b""
    with suppress(ssl.SSLError):
        client.unwrap()
    assert server.read(1) == b""
