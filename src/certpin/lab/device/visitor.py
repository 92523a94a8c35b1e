"""One connection to the lab's port: a proxy's request, or one for the lab's own page. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lab.device.connection import asked_for
from certpin.lab.device.page import HOST
from certpin.lab.transport.front import Front

if TYPE_CHECKING:
    from certpin.lab.device.connection import ObservedConnection
    from certpin.lab.device.page import Page
    from certpin.lab.device.schedule import Schedule
    from certpin.lab.transport.front import Reached


class Visitor:
    """A client that asks the lab's proxy for a host; then the session with that host.

    What is not under test passes through.
    """

    def __init__(self, schedule: Schedule, page: Page) -> None:
        self.done = False
        self.passing: Reached | None = None
        self._schedule = schedule
        self._page = page
        self._front = Front()
        self._out = b""
        self._inner: ObservedConnection | None = None

    @property
    def early(self) -> bytes:
        """What the client has said already to whom it passes through to."""
        return self._inner.early if self._inner else bytes(self._front.rest)

    def passed(self, data: bytes, *, back: bool) -> None:
        """The client said this to whom it passes through to, or that said it ``back``."""
        if self._inner:
            self._inner.passed(data, back=back)

    def data_to_send(self) -> bytes:
        """Take what must be sent now."""
        out, self._out = self._out, b""
        inner = self._inner.data_to_send() if self._inner else b""
        return self._front.data_to_send() + out + inner

    def receive(self, data: bytes) -> None:
        """Take what came; empty where the client hung up."""
        if self._inner:
            self._hand_on(data)
        elif data:
            self._ask(data)
        else:
            self.done = True

    def ended(self) -> None:
        """The connection is over, whoever ended it."""
        if self._inner:
            self._inner.ended()

    def _ask(self, data: bytes) -> None:
        self._front.receive(data)
        reached = self._front.reached
        if reached is None:
            self._ask_lab()
        elif reached.plain and reached.host == HOST:
            self._answer()
        else:
            self._begin(reached)

    def _ask_lab(self) -> None:
        """A request that names no other host is for the lab itself."""
        if not self._front.failed:
            return
        if self._front.rest.startswith((b"GET /", b"HEAD /")):
            self._answer()
        self.done = True

    def _answer(self) -> None:
        self._out = self._page.answer(bytes(self._front.rest))
        self.done = True

    def _begin(self, reached: Reached) -> None:
        self._inner = asked_for(self._schedule, reached)
        if self._inner is None:
            self.passing = reached
        elif self._front.rest:
            self._hand_on(bytes(self._front.rest))

    def _hand_on(self, data: bytes) -> None:
        assert self._inner is not None  # noqa: S101  # the callers looked
        self._inner.receive(data)
        self.done = self._inner.done
        self.passing = self._inner.passing
