"""One connection to the lab without I/O: process the client's bytes, and record the evidence.

The TCP port, the CONNECT and SOCKS5 proxies and the WireGuard tunnel only move the bytes. The
running case chooses how the lab serves each connection (its *step*).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from certpin.lab.case import CannotServeError
from certpin.lab.scenario import BEFORE_TLS, OTHER_PORT, PUBLIC_NAME, STALL_SECONDS, Opening
from certpin.lab.server.http import respond
from certpin.lab.server.protocols import HTTP, HTTP2, PROTOCOLS, choose
from certpin.lab.server.records import RECORD_TYPES, HelloReader, NotTLSError, RecordCounter
from certpin.lab.server.tls import Contexts, Tls
from certpin.lab.verdict import KEPT, Connection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from certpin.lab.scenario import AnswerContext, Scenario, ServerStep
    from certpin.lab.server.protocols import Application, Starting
    from certpin.lab.server.records import ClientHello


@dataclass(frozen=True)
class Destination:
    """The host and port that a client requested.

    ``via`` is the way in which the client connected: ``port`` (directly), ``connect`` (HTTP proxy),
    ``socks5``, … ``plain`` is True for a request in clear text.
    """

    via: str
    host: str
    port: int
    plain: bool = False


class CaseRun:
    """A running case: assigns the scenario's steps to connections, and stores their evidence.

    A step is how the lab serves one connection. Steps are assigned in the order in which
    connections arrive.

    Args:
        scenario: the steps for each host.
        answer_context: the content of answers, such as the lab's token.
        hosts: the first and the second host under test, and the host that a redirect may lead to.
        protocol: the application protocol, a key of ``PROTOCOLS``.
        clients: the client certificates to accept, as PEM.
        stall: the time in seconds for which a step keeps a client waiting.

    Attributes:
        connections: the evidence of each connection.
        error: the error if the lab could not serve a step, or None.
    """

    def __init__(
        self,
        scenario: Scenario,
        answer_context: AnswerContext,
        hosts: tuple[str, ...],
        protocol: str = "http",
        clients: str = "",
        stall: float = STALL_SECONDS,
    ) -> None:
        self.scenario = scenario
        self.stall = stall
        self.answer_context = answer_context
        self.connections: list[Connection] = []
        self.error: CannotServeError | None = None
        self.upstream: Destination | None = None  # the real server to which steps are relayed
        self.direct = answer_context  # for clients that connect to the port of the lab directly
        self._protocol = PROTOCOLS[protocol]
        self.alpn: Sequence[str] = self._protocol.alpn()
        self.contexts = Contexts(clients)
        own = zip(hosts, (scenario.first, scenario.second, scenario.unpinned), strict=False)
        self._steps = {host: steps for host, steps in own if steps}
        if scenario.ech:
            self._steps[PUBLIC_NAME] = scenario.ech
        self._first = hosts[0]
        self._met: Counter[str] = Counter()
        self._kinds: list[str] = []  # of the connections to the host under test

    def tests(self, host: str) -> bool:
        """Return True if the lab serves connections to this host in the case.

        The scenario of the case then describes how. Connections to other hosts are refused, or
        relayed if the host under test has a real server.
        """
        return host in self._steps

    def opened(self, seen: Connection) -> None:
        """Add a new connection (``seen``) to the evidence of the case."""
        self.connections.append(seen)

    def failed(self, error: CannotServeError) -> None:
        """Store the error of a connection that the lab could not serve, as ``error``.

        A later error replaces an earlier one.
        """
        self.error = error

    def next_step(
        self, server_name: str, target: str, *, port: int = 0, kind: str = ""
    ) -> ServerStep:
        """Return the step with which to serve a new connection: its certificates, key and answer.

        A step is how the lab serves one connection. Each call moves on to the next step of the
        host. The last step of a host repeats.

        Args:
            server_name: the name in the ClientHello, or empty.
            target: the host that the client requested from a proxy, or empty.
            port: the requested port. Some scenarios have other steps for ``OTHER_PORT``.
            kind: a text that identifies the client's TLS library and settings
                (``ClientHello.kind``). Some scenarios have other steps for connections whose kind
                differs from that of the first one.
        """
        asked = server_name or target
        host = asked if asked in self._steps else self._first
        if host == self._first:
            self._kinds.append(kind)
            if self.scenario.other_port and port == OTHER_PORT:
                return self._next("other port", self.scenario.other_port)
            if self.scenario.other_kind and kind != self._kinds[0]:
                return self._next("other kind", self.scenario.other_kind)
        return self._next(host, self._steps[host])

    def _next(self, of: str, steps: Sequence[ServerStep]) -> ServerStep:
        step = steps[min(self._met[of], len(steps) - 1)]
        self._met[of] += 1
        return step

    def _upcoming(self, host: str) -> ServerStep:
        steps = self._steps[host]
        return steps[min(self._met[host], len(steps) - 1)]

    def choose_alpn(self, step: ServerStep, hello: ClientHello) -> tuple[str, ...]:
        """Return the application protocol (ALPN) to negotiate on a connection, in a tuple.

        The tuple is empty if the client offers no protocol that the server accepts.

        Args:
            step: how the lab serves the connection.
            hello: the ClientHello, with the client's ALPN names.
        """
        spoken = self.alpn if step.alpn is None else step.alpn
        if step.settings.weakness:
            # HTTP/2 forbids weak suites (RFC 9113 section 9.2.2), and an attacker avoids it.
            spoken = sorted(spoken, key=lambda name: name == HTTP2)
        return choose(hello.alpn, spoken)

    def clear_application(self, seen: Connection) -> Starting | None:
        """Return the server for the clear-text part of a connection, before STARTTLS.

        Return None if the protocol has no such part. A step (how the lab serves one connection) is
        assigned to the connection now if it tampers with the clear text. Otherwise it is assigned
        later, by the name in the ClientHello. ``seen`` is the evidence of the connection.
        """
        if not self._protocol.starting:
            return None
        step = self._upcoming(seen.target if seen.target in self._steps else self._first)
        if step.opening in BEFORE_TLS:
            seen.step = self.next_step("", seen.target)
        return self._protocol.starting(step, self.answer_context)

    def application(self, step: ServerStep, hello: ClientHello, seen: Connection) -> Application:
        """Return the server for the application protocol of a connection under TLS.

        If the protocol is HTTP, the negotiated ALPN name decides between HTTP/1.1 and HTTP/2.

        Args:
            step: how the lab serves the connection.
            hello: the ClientHello, with the client's ALPN names.
            seen: the evidence of the connection.
        """
        answer_context = self.direct if seen.via == "port" else self.answer_context
        if self._protocol is not HTTP:
            return self._protocol.make(step, answer_context)
        if self.choose_alpn(step, hello) == (HTTP2,):
            from certpin.lab.server.h2 import Http2

            return Http2(step, answer_context)
        return self._protocol.make(step, answer_context)


_TLS_RECORD = b"\x16"  # the first byte of every ClientHello (RFC 8446 section 5.1)
_TEXT = frozenset(b"\t\r\n") | frozenset(range(32, 127))
_GLIMPSE = 16  # bytes that are examined to distinguish text from junk
_SHORTEST_PAUSE = 0.001  # seconds: zero means that there is none
MAX_RECEIVED = 4 * 1024 * 1024  # bytes of one client, after which it is disconnected
TOO_MUCH = "the client sent more than the lab reads"


class Session:
    """Serves one connection of a lab case, without I/O. ``seen`` is the evidence of the connection.

    Send ``data_to_send()`` after each call. If ``done`` is True, then close the connection: with a
    TCP reset if ``resets`` is True. If ``passing`` is set, relay the connection to that server. If
    ``pause`` is not zero, call ``resume()`` after that many seconds.

    Args:
        case_run: the running case.
        via: the way in which the client connected, such as ``port`` or ``connect``.
        target: the host that the client requested from a proxy, or empty.
        port: the port that the client requested; 0 if it is unknown.
    """

    def __init__(
        self, case_run: CaseRun, *, via: str = "port", target: str = "", port: int = 0
    ) -> None:
        self.seen = Connection(via=via, target=target)
        self.done = False
        self.passing: Destination | None = None  # set if the real server takes over
        self.resets = False
        self.pause = 0.0
        self._port = port
        self._case_run = case_run
        self._out = bytearray()
        self._hello = HelloReader()
        self._plain = False  # whether the client sent clear text instead of TLS
        self._tls: Tls | None = None
        self._records = RecordCounter()  # of a connection that passes through
        self._left = False  # whether the client closed a relayed connection
        self._taken = 0
        self._unread = bytearray()  # the beginning of a TLS record
        self._astray = False  # whether the client changed from TLS to clear text
        # A protocol with STARTTLS begins in clear text.
        self._clear: Starting | None = case_run.clear_application(self.seen)
        if self._clear:
            self._out += self._clear.begin(secure=False)
        case_run.opened(self.seen)

    def data_to_send(self) -> bytes:
        """Return the bytes to send to the client, and remove them from the buffer."""
        data = bytes(self._out)
        self._out.clear()
        return data

    def receive(self, data: bytes) -> None:
        """Process bytes from the client. Empty bytes mean that the client closed the connection.

        Never raises.
        """
        self._taken += len(data)
        if self.done:
            self._hear_out(data)
            return
        if not data or self._taken > MAX_RECEIVED:
            self._end("" if not data else TOO_MUCH)
            return
        try:
            self._take(data)
        except NotTLSError as exc:
            self._end(str(exc))
        except CannotServeError as exc:
            self._case_run.failed(exc)
            self._end(str(exc))

    def _take(self, data: bytes) -> None:
        if self.pause:
            self._hello.raw.extend(data)  # ``early`` is read when the pause is over
        elif self._tls:
            self._secure(data)
        elif self._clear and not self._clear.upgrade:
            self._speak(data)
        elif not self._hello.raw and (data[:1] != _TLS_RECORD or self._plain):
            self._unexpected(data)
        else:
            self._begin_tls(data)

    def _speak(self, data: bytes) -> None:
        """Answer ``data`` of the client in the clear-text part of a connection, and record it.

        If it ends with the beginning of TLS (after STARTTLS), the TLS handshake begins.
        """
        assert self._clear is not None  # noqa: S101  # the caller checks this
        self._out += self._clear.receive(data, secure=False)
        self.seen.clear = bytes(self._clear.data)
        self.seen.tampered = self._clear.tampered
        self.done = self._clear.closing
        if self._clear.upgrade and self._clear.rest:
            self._take(self._clear.rest)

    def _unexpected(self, data: bytes) -> None:
        """Record bytes in clear text that arrived in place of TLS. All of them are leaked data.

        A complete HTTP request is answered before the connection ends. A client of a protocol with
        STARTTLS gets no answer.
        """
        self._plain = True
        self.seen.clear += data[: KEPT - len(self.seen.clear)]
        if self._clear:
            self._end("the client went on in clear text")
        elif b"\r\n\r\n" in self.seen.clear or len(self.seen.clear) >= KEPT:
            self._out += respond(self._case_run.answer_context.token)
            self._end("the client spoke in clear text")

    def _begin_tls(self, data: bytes) -> None:
        hello = self._hello.feed(data)
        if hello is None:
            return
        self.seen.hello = hello
        step = self.seen.step or self._case_run.next_step(
            hello.server_name, self.seen.target, port=self._port, kind=hello.kind
        )
        self.seen.step = step
        if step.opening is Opening.RELAY:
            self.passing = self._case_run.upstream
            self._records.from_client(self.early)
            return
        if step.opening is Opening.STRIP:
            self._end("the client began TLS though it was not offered")
            return
        if step.opening is Opening.PLAIN:
            self._out += respond(self._case_run.answer_context.token)
            self._end("the lab answered in clear text")
            return
        if step.opening in {Opening.CLOSE, Opening.RESET}:  # of INTERRUPTED, at once
            self.resets = step.opening is Opening.RESET
            self._end("the lab ended the connection in the handshake")
            return
        if step.opening in {Opening.STALL, Opening.SLOW}:
            self.pause = max(self._case_run.stall, _SHORTEST_PAUSE)
            return
        self._answer_hello(step, hello)

    def _answer_hello(self, step: ServerStep, hello: ClientHello) -> None:
        alpn = self._case_run.choose_alpn(step, hello)
        application = self._case_run.application(step, hello, self.seen)
        self._tls = Tls(partial(self._case_run.contexts.wrap, step, alpn), application)
        self._secure(self.early)

    def resume(self) -> None:
        """Continue after ``pause`` seconds: begin TLS, or end the connection. Never raises."""
        step, hello = self.seen.step, self.seen.hello
        if not self.pause or self.done or step is None or hello is None:
            return
        self.pause = 0.0
        if step.opening is Opening.STALL:
            self._end("the lab kept silent in the handshake")
            return
        try:
            self._answer_hello(step, hello)
        except CannotServeError as exc:
            self._case_run.failed(exc)
            self._end(str(exc))

    @property
    def early(self) -> bytes:
        """The client's bytes that were read before relaying began. The relay sends them first."""
        return bytes(self._hello.raw)

    def passed(self, data: bytes, *, back: bool) -> None:
        """Update the recorded evidence with bytes that were relayed between client and server.

        Args:
            data: the bytes; empty if their sender closed the connection.
            back: True if the server sent the bytes, False if the client did.
        """
        if not back:
            self._records.from_client(data)
            self._left = self._left or not data
        else:
            self._records.from_server(data)
            self.seen.answered += len(data)
        self.seen.passed, self.seen.unclear = self._records.data, self._records.unclear
        if back and not (data or self._left or self.seen.passed):
            self.seen.problem = self.seen.problem or "the real server ended the connection"

    def _secure(self, data: bytes) -> None:
        assert self._tls is not None  # noqa: S101  # the caller looked
        self._note_clear(data)
        self._tls.receive(data, self.seen)
        self._out += self._tls.data_to_send()
        self.done = self._tls.closed
        if self._tls.unknown_client:
            if self.seen.exposed:
                self.seen.certificate_shown = True  # an attacker learns the client's identity
                return
            raise CannotServeError(
                "the client presented its own certificate, which the lab does not know",
                fix="give it the lab's certificate and key: {client_cert} and {client_key}",
            )

    def _hear_out(self, data: bytes) -> None:
        """Process client bytes that arrive after the lab closed its side of the connection.

        They are ignored if TLS never began. If they are clear text, they are recorded. If they are
        TLS, the application protocol decides whether they still count as data of the client.
        """
        if self._tls and self._taken <= MAX_RECEIVED:
            self._note_clear(data)
        if self._tls and self._tls.listens and data and self._taken <= MAX_RECEIVED:
            self._tls.receive(data, self.seen)

    def _note_clear(self, data: bytes) -> None:
        """Record clear text that arrives in place of a TLS record, and everything after it.

        Bytes that are no TLS record count as clear text only if they begin with printable
        characters; otherwise they are dropped. Complete TLS records are skipped.
        """
        self._unread += data
        while len(self._unread) >= 5 and not self._astray:
            if self._unread[0] not in RECORD_TYPES or self._unread[1] != 3:
                beginning = self._unread[:_GLIMPSE]
                if len(beginning) < _GLIMPSE:
                    return
                self._astray = _TEXT.issuperset(beginning)
                if not self._astray:
                    self._unread.clear()
                break
            size = 5 + int.from_bytes(self._unread[3:5])
            if len(self._unread) < size:
                return
            del self._unread[:size]
        if self._astray:
            self.seen.clear += self._unread[: KEPT - len(self.seen.clear)]
            self._unread.clear()

    def _end(self, problem: str) -> None:
        self.seen.problem = self.seen.problem or problem
        self.pause = 0.0
        self.done = True
