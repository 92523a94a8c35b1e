"""Pinned pool managers for urllib3 2, and for urllib3-future in its place.

    with PinnedPoolManager(pins) as http:
        http.request("GET", "https://api.bank.example/")

The managers take the options of their base classes except those that set up TLS. If the pinned
context refuses a connection, the request raises an error that is both a
``urllib3.exceptions.SSLError`` and a ``PinError``, without a retry. TLS to an ``https://`` proxy
uses ``proxy_ssl_context``: verified with the platform's roots by default, and unpinned unless that
context pins. HTTP/3 of urllib3-future is off.
"""

from __future__ import annotations

from certpin.clients._common import missing_library
from certpin.clients._urllib3_base import PinningConnection, PinningManager, PinningPool

try:
    import urllib3
    from urllib3 import HTTPSConnectionPool, PoolManager, ProxyManager
    from urllib3.connection import HTTPSConnection
    from urllib3.exceptions import SSLError
except ModuleNotFoundError as exc:
    raise missing_library("urllib3", exc) from exc


class PinnedHTTPSConnection(PinningConnection, HTTPSConnection):
    """An ``HTTPSConnection`` of urllib3 with the pinned context.

    It checks its TLS settings only when it connects, because connection pools can change them.
    """

    _http3 = getattr(getattr(urllib3, "HttpVersion", None), "h3", None)


class PinnedHTTPSConnectionPool(PinningPool, HTTPSConnectionPool):
    """An ``HTTPSConnectionPool`` of urllib3 with pinned connections."""

    ConnectionCls = PinnedHTTPSConnection
    _error = SSLError


class PinnedPoolManager(PinningManager, PoolManager):
    """A ``urllib3.PoolManager`` that enforces pins: ``PinnedPoolManager(pins, **options)``.

    ``pins`` is a pin set or a ``PinnedSSLContext``. The options are those of the base class,
    without those about TLS. ``on_failure`` are functions to call for each failure, allowed only if
    ``pins`` is a pin set.
    """

    _https = PinnedHTTPSConnectionPool


class PinnedProxyManager(PinningManager, ProxyManager):
    """A ``urllib3.ProxyManager`` that enforces pins: ``PinnedProxyManager(pins, url, **options)``.

    Every request goes through a tunnel (CONNECT). ``use_forwarding_for_https`` raises
    ``ConfigError``, because it would reveal the request to the proxy. ``pins`` is a pin set or a
    ``PinnedSSLContext``. The options are those of the base class, without those about TLS.
    ``on_failure`` are functions to call for each failure, allowed only if ``pins`` is a pin set.
    """

    _https = PinnedHTTPSConnectionPool
