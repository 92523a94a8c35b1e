"""Pinned sessions for requests.

    with PinnedSession(pins) as session:
        session.get("https://api.bank.example/")

A refusal raises an error that is both a ``requests.exceptions.SSLError`` and the ``PinError``.
``verify=False``, ``verify=PATH`` and ``cert=`` raise ``ConfigError``. A bundle that the
environment names (``REQUESTS_CA_BUNDLE``, ``CURL_CA_BUNDLE``) is not used, nor certifi's: the pin
file says whom to trust. Proxies of the environment are used. The TLS to an ``https://`` proxy is
verified by the platform's roots, and unpinned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from certpin.clients._common import (
    admitted,
    both,
    context_of,
    missing_library,
    port_in,
    refuse_bundle,
    refuse_options,
    refused_option,
)
from certpin.errors import pin_error

try:
    from requests import Session
    from requests.adapters import HTTPAdapter
    from requests.exceptions import SSLError

    from certpin.clients._urllib3_kind import pin_socks_manager
    from certpin.clients.urllib3 import (
        PinnedHTTPSConnectionPool,
        PinnedPoolManager,
        PinnedProxyManager,
    )
except ModuleNotFoundError as exc:
    raise missing_library("requests", exc) from exc

if TYPE_CHECKING:
    from collections.abc import Iterable

    from requests import PreparedRequest, Response

    from certpin.clients._common import Pins
    from certpin.tls.failures import FailureHook


class PinnedAdapter(HTTPAdapter):
    """An ``HTTPAdapter`` that enforces pins: ``PinnedAdapter(pins, **options)``.

    Mount it for ``https://`` and for ``http://``: a redirect to where it is not mounted leaves it.
    """

    def __init__(
        self, pins: Pins, *, on_failure: Iterable[FailureHook] = (), **options: Any
    ) -> None:
        self.context = context_of(pins, on_failure)
        super().__init__(**options)

    def init_poolmanager(
        self, connections: int, maxsize: int, block: bool = False, **options: Any
    ) -> None:
        """As in requests, with pinned pools."""
        super().init_poolmanager(connections, maxsize, block)
        self.poolmanager = PinnedPoolManager(
            self.context, num_pools=connections, maxsize=maxsize, block=block, **options
        )

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """As in requests, with pinned pools behind the proxy."""
        if proxy.lower().startswith("socks"):
            manager = super().proxy_manager_for(proxy, ssl_context=self.context, **options)
            return pin_socks_manager(manager, PinnedHTTPSConnectionPool)
        if proxy not in self.proxy_manager:
            self.proxy_manager[proxy] = PinnedProxyManager(
                self.context,
                proxy,
                proxy_headers=self.proxy_headers(proxy),
                num_pools=self._pool_connections,
                maxsize=self._pool_maxsize,
                block=self._pool_block,
                **options,
            )
        return self.proxy_manager[proxy]

    def build_connection_pool_key_attributes(
        self, request: PreparedRequest, verify: object, cert: object = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Where to connect. Nothing about TLS: that is the context's."""
        host, _ = super().build_connection_pool_key_attributes(request, True, None)
        return host, {}

    def cert_verify(self, conn: object, url: object, verify: object, cert: object) -> None:
        """Nothing: requests would load certifi's bundle into the context, for each connection."""

    def send(
        self,
        request: PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> Response:
        """Send one request. Raises ``SSLError``, a ``PinError`` too, or ``ConfigError``."""
        refuse_bundle(verify)
        refuse_options({"cert": cert}, "cert")
        try:
            url = urlsplit(request.url or "")
            with admitted(self.context, url.scheme, url.hostname or "", port_in(url)):
                return super().send(request, stream, timeout, True, None, proxies)
        except OSError as exc:
            error = pin_error(exc)
            if error is None:
                raise
            raise both(SSLError(str(error), request=request), error) from error.__cause__


class PinnedSession(Session):
    """A ``requests.Session`` that sends through a ``PinnedAdapter`` alone: ``PinnedSession(pins)``.

    The options are those of ``PinnedAdapter``. ``mount()`` takes further pinned adapters.
    """

    def __init__(self, pins: Pins, **options: Any) -> None:
        super().__init__()
        adapter = PinnedAdapter(pins, **options)
        self.context = adapter.context
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    def get_adapter(self, url: str) -> PinnedAdapter:
        """The adapter for a URL. Raises ``ConfigError`` if it is not a pinned one."""
        adapter = super().get_adapter(url)
        if not isinstance(adapter, PinnedAdapter):
            raise refused_option("mount", adapter)
        return adapter
