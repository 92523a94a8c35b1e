"""One client's connection to the lab without I/O: direct, through the lab's proxy, or routed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from certpin.lab.server.hello import HelloReader, NotTLSError
from certpin.lab.server.proxy import ProxyRequest
from certpin.lab.server.session import Session

if TYPE_CHECKING:
    from certpin.lab.case_run import CaseRun
    from certpin.lab.server.proxy import Destination


class Conversation(Protocol):
    """One client's connection without I/O.

    ``passing`` is set if the connection must be relayed to another server, unchanged.
    """

    @property
    def done(self) -> bool:
        """True if the lab closes the connection after sending the remaining bytes."""

    @property
    def passing(self) -> Destination | None:
        """The destination to relay to; None if the lab serves the connection."""

    @property
    def early(self) -> bytes:
        """The client's bytes that arrived before relaying began; the relay sends them first."""

    def passed(self, data: bytes, *, back: bool) -> None:
        """Record evidence from relayed bytes of the client, or of the server if ``back``.

        Empty bytes mean that this side closed.
        """

    def data_to_send(self) -> bytes:
        """Return the bytes to send to the client, and clear them."""

    def receive(self, data: bytes) -> None:
        """Process bytes from the client; empty bytes mean that it closed."""


class Proxied:
    """One connection to the lab's proxy: the proxy request, then the session with that host."""

    def __init__(self, case_run: CaseRun) -> None:
        self.done = False
        self.passing: Destination | None = None
        self._case_run = case_run
        self._front = ProxyRequest()
        self._session: Session | None = None

    @property
    def early(self) -> bytes:
        """The client's bytes that arrived before relaying began; the relay sends them first."""
        return self._session.early if self._session else bytes(self._front.rest)

    def passed(self, data: bytes, *, back: bool) -> None:
        """Record evidence from relayed bytes of the client, or of the server if ``back``.

        Empty bytes mean that this side closed.
        """
        if self._session:
            self._session.passed(data, back=back)

    def data_to_send(self) -> bytes:
        """Return the bytes to send to the client, and clear them."""
        return self._front.data_to_send() + (self._session.data_to_send() if self._session else b"")

    def receive(self, data: bytes) -> None:
        """Process bytes from the client; empty bytes mean that it closed."""
        if self._session is None and data:
            self._ask(data)
        elif self._session:
            self._hand_on(data)
        else:
            self.done = True

    def _ask(self, data: bytes) -> None:
        self._front.receive(data)
        reached = self._front.reached
        if self._front.failed:
            self.done = True
        elif reached and not self._case_run.tests(reached.host):
            self.passing = reached
        elif reached:
            self._session = Session(self._case_run, via=reached.via, target=reached.host)
            if self._front.rest:
                self._hand_on(bytes(self._front.rest))

    def _hand_on(self, data: bytes) -> None:
        assert self._session is not None  # noqa: S101  # the callers check this
        self._session.receive(data)
        self.done = self._session.done
        self.passing = self._session.passing


class Routed:
    """A connection that was routed to the lab, by the tunnel for example, without a proxy request.

    The lab serves a destination under test at once. For any other, the name in the ClientHello
    decides. Anything but TLS, or a name that is not under test, is relayed; ``early``
    holds the bytes read so far, which are forwarded.
    """

    def __init__(self, case_run: CaseRun, destination: Destination) -> None:
        self.done = False
        self.passing: Destination | None = None
        self._hello = HelloReader()
        self._case_run = case_run
        self._destination = destination
        self._session: Session | None = None
        if case_run.tests(destination.host):
            self._begin(destination.host)

    @property
    def early(self) -> bytes:
        """The client's bytes that arrived before relaying began; the relay sends them first."""
        return self._session.early if self._session else bytes(self._hello.raw)

    @property
    def decided(self) -> bool:
        """True if it is known whether the lab or another server serves the connection."""
        return self._session is not None or self.passing is not None

    def passed(self, data: bytes, *, back: bool) -> None:
        """Record evidence from relayed bytes of the client, or of the server if ``back``.

        Empty bytes mean that this side closed.
        """
        if self._session:
            self._session.passed(data, back=back)

    def data_to_send(self) -> bytes:
        """Return the bytes to send to the client, and clear them."""
        return self._session.data_to_send() if self._session else b""

    def receive(self, data: bytes) -> None:
        """Process bytes from the client; empty bytes mean that it closed."""
        if self._session:
            self._session.receive(data)
            self.done = self._session.done
            self.passing = self._session.passing
        elif data:
            self._look(data)
        else:
            self.done = True

    def silent(self) -> None:
        """Relay a client that sends nothing because the server speaks first (SMTP, SSH)."""
        if not self.decided:
            self.passing = self._destination

    def _look(self, data: bytes) -> None:
        try:
            hello = self._hello.feed(data)
        except NotTLSError:
            self.passing = self._destination
            return
        if hello is None:
            return
        name = hello.server_name.rstrip(".")
        if not self._case_run.tests(name):
            self.passing = self._destination
            return
        self._begin(name)
        self.receive(bytes(self._hello.raw))

    def _begin(self, host: str) -> None:
        self._session = Session(self._case_run, via=self._destination.via, target=host)


_NO_AUTHENTICATION, _CONNECT = 0, 1
