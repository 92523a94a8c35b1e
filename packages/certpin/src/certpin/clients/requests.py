"""Pinned sessions for requests.

    with PinnedSession(pins) as session:
        session.get("https://api.bank.example/")

If the pinned context refuses a connection, the request raises an error that is both a
``requests.exceptions.SSLError`` and a ``PinError``. ``verify=False``, ``verify=PATH`` and ``cert=``
raise ``ConfigError``. Neither certifi's bundle is used, nor one that the environment names
(``REQUESTS_CA_BUNDLE``, ``CURL_CA_BUNDLE``): the pin file names the trust anchors. Proxies that the
environment names are used. The TLS to an ``https://`` proxy is verified with the platform's roots,
and unpinned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from certpin.clients._common import missing_library, pinned_in_place, refused_option

try:
    from requests import Session
    from requests.adapters import HTTPAdapter
    from requests.exceptions import SSLError

    from certpin.clients._requests_base import NotCopied, PinningAdapter
    from certpin.clients.urllib3 import PinnedPoolManager, PinnedProxyManager
except ModuleNotFoundError as exc:
    raise missing_library("requests", exc) from exc

if TYPE_CHECKING:
    from requests import PreparedRequest, Response

    from certpin.clients._common import Pins


class PinnedAdapter(PinningAdapter, HTTPAdapter):
    """An ``HTTPAdapter`` that enforces pins: ``PinnedAdapter(pins, **options)``.

    Mount it for ``https://`` and ``http://``. Otherwise a redirect to the other scheme bypasses it.
    ``pins`` is a pin set or a ``PinnedSSLContext``. The options are those of the base class,
    without those about TLS. ``on_failure`` are functions to call for each failure, allowed only if
    ``pins`` is a pin set.
    """

    _managers = (PinnedPoolManager, PinnedProxyManager)
    _error = SSLError

    def build_connection_pool_key_attributes(
        self, request: PreparedRequest, verify: object, cert: object = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the attributes by which requests finds a connection pool.

        They are a dictionary with scheme, host and port, and one for TLS options. The second is
        always empty: the pinned context sets up TLS, so these options don't distinguish pools.
        """
        host, _ = super().build_connection_pool_key_attributes(request, True, None)
        return host, {}

    def cert_verify(self, conn: object, url: object, verify: object, cert: object) -> None:
        """Do nothing. requests calls this method for each request.

        The method of requests would load certifi's bundle into the context.
        """

    def send(
        self,
        request: PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> Response:
        """Send one request, and return the response.

        If the pinned context refuses the connection, raise an error that is both an ``SSLError``
        and a ``PinError``.

        Raises:
            ConfigError: an option would weaken TLS.
        """
        with self._pinned(request, verify, cert):
            return super().send(request, stream, timeout, True, None, proxies)


class PinnedSession(NotCopied, Session):
    """A ``requests.Session`` that sends only through pinned adapters: ``PinnedSession(pins)``.

    ``pins`` and all options are passed to its adapter (``PinnedAdapter``). If ``mount()`` gets an
    adapter that is not pinned, requests for its URLs raise ``ConfigError``.
    """

    def __init__(self, pins: Pins, **options: Any) -> None:
        super().__init__()
        adapter = PinnedAdapter(pins, **options)
        self.context = adapter.context
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    def get_adapter(self, url: str) -> PinnedAdapter:
        """Return the adapter that sends requests for a URL.

        Raises ``ConfigError`` if the adapter is not pinned.
        """
        adapter = super().get_adapter(url)
        if not isinstance(adapter, PinnedAdapter):
            raise refused_option("mount", adapter, instead=pinned_in_place(PinnedAdapter))
        return adapter
