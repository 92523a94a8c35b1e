"""TODO: one docstring."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from certpin.errors import ConfigError
from certpin_watch.port import cannot_listen

if TYPE_CHECKING:
    from granian.server.embed import Server


_GRACE = 10  # seconds for running requests to complete when the server stops
_BACKLOG = 1024
_IDLE = 20  # seconds that a connection may be idle, before a request and between two requests
_MAX_CONNECTIONS = 4096  # served at the same time; further connections wait

log = logging.getLogger("certpin.watch")


def make_server(address: tuple[str, int], app: Any, tls: tuple[Any, Any] | None = None) -> Server:
    """Return a server that does not listen yet.

    Args:
        address: host and port.
        app: the ASGI application.
        tls: paths of the certificate chain and of the private key, both PEM; None for plain HTTP.

    Raises:
        ConfigError: the certificate or the key can't be used.
    """
    from granian.constants import HTTPModes, Interfaces, SSLProtocols
    from granian.http import HTTP1Settings
    from granian.server.embed import Server

    host, port = address
    secured: dict[str, Any] = {}
    if tls:
        certificate, key = tls
        # Old phones send reports, too: RFC 9325 section 3.1.1 still allows TLS 1.2.
        secured = {"ssl_cert": certificate, "ssl_key": key, "ssl_protocol_min": SSLProtocols.tls12}
    try:
        return Server(
            app,
            address=host,
            port=port,
            interface=Interfaces.ASGINL,
            # Only HTTP/1.1: while granian detects which of two versions a client speaks, no timeout
            # runs, and a silent client holds one of the connections for ever.
            http=HTTPModes.http1,
            http1_settings=HTTP1Settings(header_read_timeout=_IDLE * 1000),
            backlog=_BACKLOG,
            backpressure=_MAX_CONNECTIONS,
            websockets=False,
            log_enabled=False,
            **secured,
        )
    except (OSError, ValueError, FileNotFoundError) as exc:
        raise ConfigError(
            f"certificate and key cannot be used: {exc}",
            key="tls_certificate",
            fix="use PEM files, the leaf first, that this user can read",
        ) from exc


async def wait_until_open(address: tuple[str, int], serving: asyncio.Task[None]) -> None:
    """Wait until the server accepts connections.

    Raises:
        ConfigError: the server could not listen.
    """
    while not serving.done():
        with suppress(OSError):
            _, writer = await asyncio.open_connection(*address)
            writer.close()
            return
        await asyncio.sleep(0.02)
    if problem := serving.exception():
        raise cannot_listen(address) from problem


async def wait_until_stopped(serving: asyncio.Task[None]) -> None:
    """Wait for a stopping server, at most as long as running requests may take."""
    try:
        async with asyncio.timeout(_GRACE):
            await serving
    except TimeoutError:
        log.warning("requests ran for more than %d s after the stop and were dropped", _GRACE)
