"""A pinned connector for aiohttp.

    async with aiohttp.ClientSession(connector=PinnedConnector(pins)) as session:
        await session.get("https://api.bank.example/")

If the pinned context refuses a connection, the request raises an error that is both an
``aiohttp.ClientConnectorCertificateError`` and a ``PinError``. A request with ``ssl=False`` makes
aiohttp use another context, and the pinned context can't notice this. So the connector raises
``ConfigError`` for ``ssl=False``, ``ssl=Fingerprint(…)``, another context, and another
``server_hostname``.
"""

from __future__ import annotations

import ssl
import sys
from typing import TYPE_CHECKING, Any

from certpin.clients._common import (
    admitted,
    both,
    context_of,
    missing_library,
    refuse_options,
    refused_option,
)
from certpin.errors import PinError, pin_error
from certpin.tls import assert_pinned
from certpin.tls.assertion import pins_hold

try:
    from aiohttp import (
        ClientConnectionError,
        ClientConnectorCertificateError,
        ClientProxyConnectionError,
        TCPConnector,
    )
except ModuleNotFoundError as exc:
    raise missing_library("aiohttp", exc) from exc

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiohttp import ClientRequest
    from aiohttp.connector import Connection

    from certpin.clients._common import Pins
    from certpin.tls.failures import FailureHook


class PinnedConnector(TCPConnector):
    """An ``aiohttp.TCPConnector`` that enforces pins: ``PinnedConnector(pins, **options)``.

    The options are those of ``TCPConnector``, except those about TLS. ``proxy_context`` is the
    ``ssl.SSLContext`` for the TLS to ``https://`` proxies; the default verifies and does not pin.
    ``on_failure`` are functions to call for each failure, allowed only if ``pins`` is a pin set.
    """

    def __init__(
        self,
        pins: Pins,
        *,
        proxy_context: ssl.SSLContext | None = None,
        on_failure: Iterable[FailureHook] = (),
        **options: Any,
    ) -> None:
        refuse_options(options, "fingerprint", "ssl", "ssl_context", "verify_ssl")
        self.context = context_of(pins, on_failure)
        self._proxy_context = proxy_context or ssl.create_default_context()
        super().__init__(ssl=self.context, **options)

    async def connect(self, req: ClientRequest, *args: Any, **kwargs: Any) -> Connection:
        """Return a checked connection, new or from the pool. aiohttp calls this for redirects too.

        Raises an error that is both a ``ClientConnectorCertificateError`` and a ``PinError`` if the
        pinned context refuses the connection or the request is in clear text, and ``ConfigError``
        if an option of the request would bypass the pinned context.
        """
        if req.ssl is not True and req.ssl is not self.context:
            raise refused_option("ssl", req.ssl)
        if req.server_hostname not in (None, req.url.raw_host):
            raise refused_option("server_hostname", req.server_hostname)
        handled = sys.exception()
        try:
            url = req.url
            with admitted(self.context, url.scheme, url.raw_host or "", url.port):
                while True:
                    connection = await super().connect(req, *args, **kwargs)
                    if not req.is_ssl():
                        return connection
                    self._require_checked(connection, url.raw_host or "")
                    if pins_hold(connection.transport):
                        return connection
                    connection.close()  # it was kept, and the pins were replaced since
        except (ClientConnectionError, PinError) as exc:
            error = pin_error(exc, handled=handled)
            if error is None:
                raise
            theirs = ClientConnectorCertificateError(req.connection_key, error)
            raise both(theirs, error) from error.__cause__

    def _require_checked(self, connection: Connection, host: str) -> None:
        """Raise ``UncheckedConnectionError`` if the pinned context did not check this connection.

        The connection is then closed. ``host`` is the host of the request. This is rule 14 of
        docs/concepts/matching.md.
        """
        try:
            assert_pinned(connection.transport, host, strict=self.context.strict)
        except PinError:
            connection.close()
            raise

    async def _create_direct_connection(self, req: ClientRequest, *args: Any, **kwargs: Any) -> Any:
        # aiohttp would use the host's context for the proxy too, which needs no pin.
        if kwargs.get("client_error") is ClientProxyConnectionError:
            req._ssl = self._proxy_context
        return await super()._create_direct_connection(req, *args, **kwargs)
