"""``Driver``, which makes requests through one pinned HTTP client, and helpers for its functions.

A step of a request sequence is a URL to get, or a function to call between two requests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from certpin.clients._common import Pins

    # A URL to get, or an action between two requests.
    Step = str | Callable[[], object]

PATIENCE = 10.0  # seconds


@dataclass(frozen=True)
class Driver:
    """A way to make requests through one pinned HTTP client; all clients share the same tests.

    ``fetch(pins, proxy, steps)`` gets each URL in ``steps``, calls each function in ``steps``, and
    returns the response bodies. ``error`` is the exception that the client's library raises for a
    refused certificate, and ``base`` the one for any TLS failure.
    """

    name: str
    fetch: Callable[[Pins, str | None, tuple[Step, ...]], list[str]]
    error: type[Exception]
    base: type[Exception]
    keeps_connections: bool = True
    https_proxies: bool = True

    def get(self, pins: Pins, *steps: Step, proxy: str | None = None) -> list[str]:
        return self.fetch(pins, proxy, steps)


def each_of(steps: tuple[Step, ...], get: Callable[[str], str]) -> list[str]:
    return [get(url) for url in urls_of(steps)]


def urls_of(steps: tuple[Step, ...]) -> Iterator[str]:
    for step in steps:
        if callable(step):
            step()
        else:
            yield step
