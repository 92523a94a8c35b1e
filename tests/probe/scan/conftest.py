"""``look(…)``: one sighting of one server; ``see(…)``: many, by their hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest

from certpin.probe import Endpoint
from certpin.probe.scan import Limits, Sighting, scan, scan_context

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable

    from certpin.lab import Authority

# Long enough for a machine that is busy, where a test does not wait for the end of it.
PATIENT = Limits(timeout=20.0, retries=0, pause=0.01)
HASTY = Limits(timeout=0.3, retries=1, pause=0.01)


class Look(Protocol):
    def __call__(self, host: str, port: int, limits: Limits = PATIENT) -> Sighting: ...


@pytest.fixture(scope="session")
def context(root: Authority) -> ssl.SSLContext:
    """Trusts the root of the tests."""
    return scan_context(root.pem.decode())


@pytest.fixture
def look(context: ssl.SSLContext) -> Look:
    """Scan one host, at 127.0.0.1 unless it is an address itself."""

    def look(host: str, port: int, limits: Limits = PATIENT) -> Sighting:
        connect = (host if ":" in host else "127.0.0.1", port)
        (seen,) = scan([Endpoint(host, port)], context=context, limits=limits, connect=connect)
        return seen

    return look


def by_host(sightings: Iterable[Sighting]) -> dict[str, Sighting]:
    """Many sightings, of hosts that differ."""
    return {seen.endpoint.host: seen for seen in sightings}
