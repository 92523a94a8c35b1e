"""A conversation with a device, whose every step the schedule hears of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lab.device.session import DeviceSession
from certpin.lab.session.session import Session
from certpin.lab.transport.routed import Routed
from certpin.pins.hosts import is_address

if TYPE_CHECKING:
    from certpin.lab.device.schedule import Schedule
    from certpin.lab.transport.conversation import Conversation
    from certpin.lab.transport.front import Reached

_HTTP, _HTTPS = 80, 443


class ObservedConnection:
    """A conversation of a session. ``ended`` must be called when its connection is over."""

    def __init__(self, session: DeviceSession, inner: Conversation) -> None:
        self._session = session
        self._inner = inner

    @property
    def done(self) -> bool:
        """Whether to close, once everything is sent."""
        return self._inner.done

    @property
    def passing(self) -> Reached | None:
        """Where to, if it is not the lab's own."""
        return self._inner.passing

    @property
    def early(self) -> bytes:
        """What the client has said already to whom it passes through to."""
        return self._inner.early

    def passed(self, data: bytes, *, back: bool) -> None:
        """The client said this to whom it passes through to, or that said it ``back``."""
        self._inner.passed(data, back=back)
        self._session.step(hung_up=not data and not back)

    def data_to_send(self) -> bytes:
        """Take what must be sent now."""
        return self._inner.data_to_send()

    def receive(self, data: bytes) -> None:
        """Take what came; empty where the client hung up."""
        self._inner.receive(data)
        self._session.step(hung_up=not data)

    def ended(self) -> None:
        """The connection is over, whoever ended it."""
        self._session.step(ended=True)


class Arrival(ObservedConnection):
    """A client that was routed here: what it wants is seen by what it says."""

    def __init__(self, session: DeviceSession, inner: Routed) -> None:
        super().__init__(session, inner)
        self._routed = inner

    def silent(self) -> None:
        """The client says nothing: it waits for a server that speaks first."""
        self._routed.silent()


def asked_for(schedule: Schedule, reached: Reached) -> ObservedConnection | None:
    """The conversation of a client that asked a proxy for a host; ``None`` to pass it through.

    Where it asked for an address (its resolver was asked before), the ClientHello says which host
    is meant.
    """
    session = DeviceSession(schedule, plain=reached.plain or reached.port == _HTTP)
    if schedule.tests(reached.host):
        return ObservedConnection(session, Session(session, via=reached.via, target=reached.host))
    if is_address(reached.host) and reached.port == _HTTPS and not reached.plain:
        return ObservedConnection(session, Routed(session, reached))
    return None


def routed_here(schedule: Schedule, destination: Reached) -> Arrival:
    """The conversation of a client that was routed here, without a word to a proxy."""
    session = DeviceSession(schedule, plain=destination.port == _HTTP)
    return Arrival(session, Routed(session, destination))
