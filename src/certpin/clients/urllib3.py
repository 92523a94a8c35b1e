"""Pinned pool managers for urllib3 2.

    with PinnedPoolManager(pins) as http:
        http.request("GET", "https://api.bank.example/")

They take the options of their base classes, less those that set up TLS. A refusal raises an error
that is both a ``urllib3.exceptions.SSLError`` and the ``PinError``, at once: it is not retried. The
TLS of an ``https://`` proxy is that of ``proxy_ssl_context``: verified by the platform's roots by
default, unpinned unless that context pins it too.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

from urllib3 import HTTPSConnectionPool, PoolManager, ProxyManager
from urllib3.connection import HTTPSConnection
from urllib3.exceptions import SSLError
from urllib3.util.ssl_ import resolve_cert_reqs

from certpin.clients._common import admitted, both, context_of, refuse_options, refused_option
from certpin.errors import PinError
from certpin.tls import PinnedSSLContext
from certpin.tls.calling import calling

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from certpin.clients._common import Pins
    from certpin.tls.events import FailureHook

# What urllib3 lets a caller set about TLS: all of it goes past the context, or changes it.
_TLS_OPTIONS = (
    *("assert_fingerprint", "assert_hostname", "server_hostname"),
    *("ca_cert_data", "ca_cert_dir", "ca_certs"),
    *("cert_file", "key_file", "key_password"),
    *("ssl_maximum_version", "ssl_minimum_version", "ssl_version"),
)


def _refuse_tls_options(options: Mapping[str, Any]) -> None:
    refuse_options(options, *_TLS_OPTIONS)
    if resolve_cert_reqs(options.get("cert_reqs")) != ssl.CERT_REQUIRED:
        raise refused_option("cert_reqs", options["cert_reqs"])


class _RefusedError(Exception):
    """Carries a refusal past urllib3's retries, which would go on asking an attacker."""

    def __init__(self, error: PinError) -> None:
        super().__init__(error)
        self.error = error


class PinnedHTTPSConnection(HTTPSConnection):
    """A connection that looks at its settings when it connects: pools can be changed until then."""

    def connect(self) -> None:
        """Connect, through a proxy or not. Raises ``ConfigError`` on settings that weaken."""
        _refuse_tls_options(vars(self))
        if not isinstance(self.ssl_context, PinnedSSLContext):
            raise refused_option("ssl_context", self.ssl_context)
        host, port = self.host, self.port
        if self._tunnel_host:
            host, port = self._tunnel_host, self._tunnel_port or port
        try:
            with calling(host, port):
                super().connect()
        except PinError as exc:
            raise _RefusedError(exc) from None


class PinnedHTTPSConnectionPool(HTTPSConnectionPool):
    """The connections to one host."""

    ConnectionCls = PinnedHTTPSConnection

    def urlopen(self, *args: Any, **kwargs: Any) -> Any:
        """As in urllib3. Raises ``SSLError``, a ``PinError`` too."""
        try:
            return super().urlopen(*args, **kwargs)
        except _RefusedError as exc:
            error = exc.error
        raise both(SSLError(str(error)), error) from error.__cause__


class _Pinning:
    """Stands before ``PoolManager`` and ``ProxyManager`` in a list of bases."""

    pool_classes_by_scheme: Any

    def __init__(
        self, pins: Pins, *args: Any, on_failure: Iterable[FailureHook] = (), **options: Any
    ) -> None:
        _refuse_tls_options(options)
        refuse_options(options, "ssl_context")
        self.context = context_of(pins, on_failure)
        base: Any = super()
        base.__init__(*args, ssl_context=self.context, **options)
        https = {"https": PinnedHTTPSConnectionPool}
        self.pool_classes_by_scheme = self.pool_classes_by_scheme | https

    def connection_from_host(
        self,
        host: str | None,
        port: int | None = None,
        scheme: str | None = "http",
        pool_kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """As in urllib3, which asks it for each request and each redirect."""
        _refuse_tls_options(pool_kwargs or {})
        try:
            with admitted(self.context, scheme or "http", host or "", port):
                pass
        except PinError as exc:
            raise both(SSLError(str(exc)), exc) from exc.__cause__
        base: Any = super()
        return base.connection_from_host(host, port, scheme, pool_kwargs)


class PinnedPoolManager(_Pinning, PoolManager):
    """A ``urllib3.PoolManager`` that enforces pins: ``PinnedPoolManager(pins, **options)``."""


class PinnedProxyManager(_Pinning, ProxyManager):
    """A ``urllib3.ProxyManager`` that does: ``PinnedProxyManager(pins, proxy_url, **options)``.

    Every request goes through a tunnel (CONNECT). ``use_forwarding_for_https`` would show it to the
    proxy, and raises ``ConfigError``.
    """

    def __init__(self, pins: Pins, proxy_url: str, *args: Any, **options: Any) -> None:
        if options.get("use_forwarding_for_https"):
            raise refused_option("use_forwarding_for_https", True)
        super().__init__(pins, proxy_url, *args, **options)
