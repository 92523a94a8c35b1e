"""By what the TLS of reports is verified."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol, cast
from weakref import WeakSet

if TYPE_CHECKING:
    import ssl

    from certpin.pins import PinSet


class Pinned(Protocol):
    """What is needed of a ``PinnedSSLContext``."""

    @property
    def pins(self) -> PinSet:
        """The pin set in force."""

    def report_context(self, host: str) -> ssl.SSLContext | None:
        """The context for reports to a host that the pins cover; else ``None``."""


class Trust:
    """The pinned contexts that a reporter is a hook of, and what holds for all other hosts.

    Threads may share it.
    """

    def __init__(self, given: ssl.SSLContext | None) -> None:
        self._given = given
        self._pinned: WeakSet[Pinned] = WeakSet()
        self.begin()

    def begin(self) -> None:
        """A new lock: after a fork a thread of over there may hold the one before."""
        self._guard = threading.RLock()

    def add(self, context: Pinned) -> None:
        """Let the pins of this context hold for reports too."""
        with self._guard:
            self._pinned.add(context)

    def sets(self) -> list[PinSet]:
        """The pin sets that are in force."""
        return [each.pins for each in self._contexts()]

    def context_for(self, host: str) -> ssl.SSLContext:
        """For a normalised host."""
        # One that is given may be pinned too: then its hooks, the reporter among them, stay out.
        for each in (self._given, *self._contexts()):
            make = getattr(each, "report_context", None)
            if make is not None and (pinned := make(host)) is not None:
                return cast("ssl.SSLContext", pinned)
        if self._given is None:
            self._given = _by_the_platform()
        return self._given

    def _contexts(self) -> list[Pinned]:
        with self._guard:
            return list(self._pinned)


def _by_the_platform() -> ssl.SSLContext:
    import ssl

    from certpin.x509.verifying import harden

    context = ssl.create_default_context()
    harden(context)
    return context
