"""One endpoint of a scan on its way from a name to a sighting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from certpin.probe.scan.connection import WRITE
from certpin.probe.scan.sighting import Sighting

if TYPE_CHECKING:
    from certpin.errors import ProbeError
    from certpin.probe.endpoint import Endpoint
    from certpin.probe.scan.connection import Connection
    from certpin.probe.scan.resolver import Address


@dataclass(slots=True, eq=False)
class Job:
    """An endpoint and how far it has come. ``started`` and ``deadline`` are on the loop's clock.

    ``connection`` is None while the name is looked up and while the job rests between attempts.
    """

    endpoint: Endpoint
    started: float
    attempts: int = 0
    deadline: float = 0.0
    addresses: tuple[Address, ...] = ()
    connection: Connection | None = None
    event: int = WRITE  # what the selector waits for

    @property
    def address(self) -> Address:
        """The one of this attempt: each attempt takes the next, and begins anew after the last."""
        return self.addresses[(self.attempts - 1) % len(self.addresses)]

    def error(self, kind: type[ProbeError], problem: str, fix: str) -> ProbeError:
        """Why this endpoint could not be asked."""
        return kind(problem, host=self.endpoint.host, port=self.endpoint.port, fix=fix)

    def sighting(self, now: float, found: dict[str, Any]) -> Sighting:
        """The end: ``found`` has the fields of ``Sighting`` that the connection brought."""
        address = self.address[1][0] if self.addresses else ""
        return Sighting(self.endpoint, address, self.attempts, now - self.started, **found)
