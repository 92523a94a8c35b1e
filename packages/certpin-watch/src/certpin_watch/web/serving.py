"""The web server: how ``certpin serve`` has it, and workers and writers for their health."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from certpin.errors import ConfigError
from certpin_watch.port import cannot_listen

if TYPE_CHECKING:
    from granian.server.embed import Server

_GRACE = 10  # seconds for requests that are under way to be answered
_BACKLOG = 1024
_SILENT = 20  # seconds that a connection may say nothing, before a request and between two
_MOST_AT_ONCE = 4096  # connections that are worked on; one more waits, whatever it has to say

log = logging.getLogger("certpin.watch")


def server_of(address: tuple[str, int], app: Any, tls: tuple[Any, Any] | None = None) -> Server:
    """A server that does not listen yet. Raises ``ConfigError``: no such certificate or key."""
    from granian.constants import HTTPModes, Interfaces, SSLProtocols
    from granian.http import HTTP1Settings
    from granian.server.embed import Server

    host, port = address
    secured: dict[str, Any] = {}
    if tls:
        certificate, key = tls
        # Old telephones report too: RFC 9325 section 3.1.1 still has TLS 1.2.
        secured = {"ssl_cert": certificate, "ssl_key": key, "ssl_protocol_min": SSLProtocols.tls12}
    try:
        return Server(
            app,
            address=host,
            port=port,
            interface=Interfaces.ASGINL,
            # HTTP/1.1 alone: while granian waits to see which of two versions a client speaks, no
            # time-out runs, and whoever says nothing holds one of the connections for ever.
            http=HTTPModes.http1,
            http1_settings=HTTP1Settings(header_read_timeout=_SILENT * 1000),
            backlog=_BACKLOG,
            backpressure=_MOST_AT_ONCE,
            websockets=False,
            log_enabled=False,
            **secured,
        )
    except (OSError, ValueError, FileNotFoundError) as exc:
        raise ConfigError(
            f"certificate and key cannot be used: {exc}",
            key="tls_certificate",
            fix="both are PEM, the leaf stands first, and this user has to be able to read them",
        ) from exc


async def until_open(address: tuple[str, int], serving: asyncio.Task[None]) -> None:
    """Wait until somebody answers there. Raises ``ConfigError`` where the server gave up."""
    while not serving.done():
        with suppress(OSError):
            _, writer = await asyncio.open_connection(*address)
            writer.close()
            return
        await asyncio.sleep(0.02)
    if problem := serving.exception():
        raise cannot_listen(address) from problem


async def ended(serving: asyncio.Task[None]) -> None:
    """Wait for a server that was told to stop, as long as requests may take."""
    try:
        async with asyncio.timeout(_GRACE):
            await serving
    except TimeoutError:
        log.warning("requests were under way for more than %d s, and were given up", _GRACE)
