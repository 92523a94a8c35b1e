"""Fixtures and helpers for scans: ``look`` scans one server; ``by_host`` indexes results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest

from certpin.probe import Endpoint
from certpin.probe.scan import ScanLimits, ScanResult, scan, scan_context

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable

    from certpin.lab import Authority

# Long enough for a busy machine, in tests that do not wait for its end.
PATIENT = ScanLimits(timeout=20.0, retries=0, pause=0.01)
HASTY = ScanLimits(timeout=0.3, retries=1, pause=0.01)


class Look(Protocol):
    def __call__(self, host: str, port: int, limits: ScanLimits = PATIENT) -> ScanResult: ...


@pytest.fixture(scope="session")
def context(root: Authority) -> ssl.SSLContext:
    """Trusts the root of the tests."""
    return scan_context(root.pem.decode())


@pytest.fixture
def look(context: ssl.SSLContext) -> Look:
    """Return a function that scans one host and port, and returns the result.

    It connects to 127.0.0.1, or to the host itself if that is an IPv6 address.
    """

    def look(host: str, port: int, limits: ScanLimits = PATIENT) -> ScanResult:
        connect = (host if ":" in host else "127.0.0.1", port)
        (seen,) = scan([Endpoint(host, port)], context=context, limits=limits, connect=connect)
        return seen

    return look


def by_host(sightings: Iterable[ScanResult]) -> dict[str, ScanResult]:
    """Index results by their hosts, which must differ."""
    return {seen.endpoint.host: seen for seen in sightings}
