"""One connection of a device to the lab, without I/O.

The connection comes through the lab's proxy, or by a route (the WireGuard tunnel). A *turn* is the
run of one case for one host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lab.device.page import HOST
from certpin.lab.scenario import AnswerContext, Scenario
from certpin.lab.server.conversation import Proxied, Routed
from certpin.lab.server.session import CaseRun, Session
from certpin.pins.hosts import is_address

if TYPE_CHECKING:
    from certpin.lab.case import CannotServeError
    from certpin.lab.device.page import Page
    from certpin.lab.device.schedule import Schedule
    from certpin.lab.device.turn import Visit
    from certpin.lab.server.conversation import Conversation
    from certpin.lab.server.protocols import Starting
    from certpin.lab.server.session import Destination
    from certpin.lab.verdict import Connection

_NOWHERE = AnswerContext("")


class DeviceSession(CaseRun):
    """The case run of one connection of a device. Its case is chosen when the host is known.

    A turn is the run of one case for one host. When the host is known, this object copies the data
    of the ``CaseRun`` (how the lab serves each connection, and the evidence) of the host's active
    turn. The connection stays with this turn, even if the host's next turn begins meanwhile.
    """

    def __init__(self, schedule: Schedule, port: int) -> None:
        super().__init__(Scenario(()), _NOWHERE, ("", ""))
        self.visit: Visit | None = None
        self._schedule = schedule
        self._port = port  # that the client requested

    def tests(self, host: str) -> bool:
        """Return True if the lab itself serves ``host``.

        Connections to other hosts are relayed to their servers.
        """
        return self._schedule.tests(host)

    def clear_application(self, seen: Connection) -> Starting | None:
        """Choose this connection's turn, and return the server for its clear-text part before TLS.

        A turn is the run of a case for a host. Return None if the protocol begins with TLS, and so
        has no clear-text part. Protocols with STARTTLS have one. ``seen`` is the evidence of the
        connection. The state machine of the connection (``Session``) calls this method before all
        others.
        """
        self.visit = self._schedule.admit(seen, self._port)
        vars(self).update(vars(self._case_run))
        return self._case_run.clear_application(seen)

    def opened(self, seen: Connection) -> None:
        """Do nothing: the turn (the run of a case for a host) has stored the connection already.

        ``seen`` is the evidence of the connection. ``Session`` calls this method for each
        connection.
        """

    def failed(self, error: CannotServeError) -> None:
        """Record that the lab could not serve the connection, in the connection's turn.

        A turn is the run of a case for a host. ``error`` has the reason.
        """
        self._case_run.failed(error)

    def step(self, *, hung_up: bool = False, ended: bool = False) -> None:
        """Notify the schedule, which assigns connections to cases, of an event on this connection.

        Args:
            hung_up: True if the client closed its side.
            ended: True if the connection is over. If both are False, bytes arrived.
        """
        if self.visit:
            self._schedule.update(self.visit, hung_up=hung_up, ended=ended)

    @property
    def _case_run(self) -> CaseRun:
        assert self.visit is not None  # noqa: S101  # a session begins with clear_application
        return self.visit.turn.case_run


_HTTPS = 443


class ObservedConnection:
    """Wraps the I/O-free handler of a connection, and notifies the schedule of each event on it.

    The schedule assigns connections to cases. The owner of the socket calls ``ended`` when the
    connection is over.
    """

    def __init__(self, session: DeviceSession, inner: Conversation) -> None:
        self._session = session
        self._inner = inner

    @property
    def done(self) -> bool:
        """True if the lab must close the connection after it has sent the remaining bytes."""
        return self._inner.done

    @property
    def passing(self) -> Destination | None:
        """The server to which the connection must be relayed; None if the lab serves it."""
        return self._inner.passing

    @property
    def early(self) -> bytes:
        """The client's bytes that were read before relaying began. The relay sends them first."""
        return self._inner.early

    @property
    def resets(self) -> bool:
        """True if the lab must end the connection with a TCP reset, once ``done`` is True."""
        return self._inner.resets

    @property
    def pause(self) -> float:
        """Seconds for which the lab keeps the client waiting; zero if it doesn't.

        After this time, the owner of the socket calls ``resume``.
        """
        return self._inner.pause

    def resume(self) -> None:
        """Continue to serve the client after the wait. The caller then sends ``data_to_send()``."""
        self._inner.resume()
        self._session.step()

    def passed(self, data: bytes, *, back: bool) -> None:
        """Update the recorded evidence with bytes that were relayed between client and server.

        Args:
            data: the bytes; empty if their sender closed the connection.
            back: True if the server sent the bytes, False if the client did.
        """
        self._inner.passed(data, back=back)
        self._session.step(hung_up=not data and not back)

    def data_to_send(self) -> bytes:
        """Return the bytes to send to the client, and remove them from the buffer."""
        return self._inner.data_to_send()

    def receive(self, data: bytes) -> None:
        """Pass bytes from the client to the wrapped handler, and notify the schedule of them.

        Empty bytes mean that the client closed the connection.
        """
        self._inner.receive(data)
        self._session.step(hung_up=not data)

    def ended(self) -> None:
        """Notify the schedule, which assigns connections to cases, that the connection is over."""
        self._session.step(ended=True)


class RoutedConnection(ObservedConnection):
    """A connection that reached the lab through the tunnel, without a proxy request.

    The first bytes from the client show whether the connection uses TLS.
    """

    def __init__(self, session: DeviceSession, inner: Routed) -> None:
        super().__init__(session, inner)
        self._routed = inner

    def silent(self) -> None:
        """Relay the connection if the lab has not yet decided whether to serve it or to relay it.

        The tunnel calls this if the client sends nothing at first: in SMTP, for example, the server
        speaks first.
        """
        self._routed.silent()


def proxied_connection(schedule: Schedule, reached: Destination) -> ObservedConnection | None:
    """Return the handler of a connection for a client that requested a host from the lab's proxy.

    If the client requested an IP address and port 443, the name in its ClientHello decides whether
    the host is under test, because some clients resolve the name themselves.

    Args:
        schedule: assigns the connection to a case.
        reached: the requested host and port.

    Returns:
        The handler, which does no I/O; None if the connection must be relayed.
    """
    session = DeviceSession(schedule, reached.port)
    if schedule.tests(reached.host):
        inner = Session(session, via=reached.via, target=reached.host, port=reached.port)
        return ObservedConnection(session, inner)
    if is_address(reached.host) and reached.port == _HTTPS and not reached.plain:
        return ObservedConnection(session, Routed(session, reached))
    return None


def routed_connection(schedule: Schedule, destination: Destination) -> RoutedConnection:
    """Return the handler of a connection that reached the lab through the tunnel, without a proxy.

    Args:
        schedule: assigns the connection to a case.
        destination: the host and port to which the client connected.
    """
    session = DeviceSession(schedule, destination.port)
    return RoutedConnection(session, Routed(session, destination))


class DeviceConnection(Proxied):
    """A device's connection to the lab's proxy: the proxy request, then the traffic with the host.

    Connections to hosts that are not under test are relayed. HTTP requests for the name or the
    address of the lab get the web page of the lab.
    """

    def __init__(self, schedule: Schedule, page: Page) -> None:
        # A lambda, because mypy does not check the number of arguments of a `partial`.
        super().__init__(lambda reached, _head: proxied_connection(schedule, reached))
        self._page = page
        self._out = b""

    def data_to_send(self) -> bytes:
        """Return the bytes to send to the client, and remove them from the buffer."""
        out, self._out = self._out, b""
        return super().data_to_send() + out

    def ended(self) -> None:
        """Notify the schedule, which assigns connections to cases, that the connection is over."""
        if isinstance(self._inner, ObservedConnection):
            self._inner.ended()

    def _refuse(self) -> None:
        if self._front.rest.startswith((b"GET /", b"HEAD /")):
            self._answer()
        self.done = True

    def _begin(self, reached: Destination) -> None:
        if reached.plain and reached.host == HOST:
            self._answer()
        else:
            super()._begin(reached)

    def _answer(self) -> None:
        self._out = self._page.answer(bytes(self._front.rest))
        self.done = True
