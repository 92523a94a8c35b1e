"""Ask many TLS servers for their chains: one thread, bounded time and memory.

How one host is asked (each attempt is one connection, and one handshake tells everything):

1. Its name becomes addresses: the override, the literal itself, or ``getaddrinfo`` in a thread.
2. A non-blocking TCP connection to one address; the next attempt takes the next address.
3. A TLS handshake with SNI under ``CERT_REQUIRED``, so that OpenSSL itself says whether the chain
   holds. OpenSSL keeps the served chain when it refuses it: no second connection is needed.
4. The socket is closed. Nothing is sent or read inside TLS.

Not checked here: the name (``name_matches`` does, from the leaf), revocation, and pins. After a
refused chain the server has not proven that it holds the leaf's key either: OpenSSL stops before
that signature.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from certpin.probe.dial import probe_context
from certpin.probe.scan.loop import Loop
from certpin.probe.scan.resolver import Address, literal
from certpin.probe.scan.sighting import Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from certpin.probe.endpoint import Endpoint
    from certpin.probe.scan.sighting import Sighting


def scan_context(anchors: str | None = None) -> ssl.SSLContext:
    """The context for ``scan``: as ``probe_context``, less the name check.

    OpenSSL checks the name before signatures and dates, and stops at the first fault.
    Raises ``InputError`` on anchors that cannot be read.
    """
    context = probe_context(anchors)
    context.check_hostname = False
    return context


def scan(
    endpoints: Iterable[Endpoint | None],
    *,
    context: ssl.SSLContext,
    limits: Limits = Limits(),  # noqa: B008  # frozen
    connect: tuple[str, int] | None = None,
    halted: Callable[[], bool] | None = None,
) -> Iterator[Sighting]:
    """Yield one sighting for each endpoint, in the order in which they end.

    ``endpoints`` is read only when there is room. It may yield None for "nothing yet", so that a
    slow input holds up no host. ``connect``, an IP address and a port, is called in place of every
    endpoint's own address. ``context`` comes from ``scan_context``, or is at least under
    ``CERT_REQUIRED``. An endpoint's ``starttls`` is left aside: TLS begins at once. Soon after
    ``halted`` says so the scan ends, with no word of what was under way.

    Raises ValueError on a context that does not verify and on an override that is no address.
    Whatever a server does is a sighting.
    """
    if context.verify_mode != ssl.CERT_REQUIRED:
        raise ValueError("a scan needs CERT_REQUIRED: else nobody says whether a chain holds")
    with Loop(context, limits, _override(connect), halted) as loop:
        yield from loop.run(iter(endpoints))


def _override(connect: tuple[str, int] | None) -> tuple[Address, ...]:
    if connect is None:
        return ()
    addresses = literal(*connect)
    if not addresses:
        raise ValueError(f"{connect[0]!r} is not an IP address")
    return addresses
