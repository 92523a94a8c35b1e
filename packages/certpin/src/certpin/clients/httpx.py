"""Pinned clients for httpx, HTTP/1.1 and HTTP/2, sync and async.

    with PinnedClient(pins, http2=True) as client:
        client.get("https://api.bank.example/")

The clients take the options of their base classes except ``verify`` and ``cert``. If the pinned
context refuses a connection, the request raises an error that is both an ``httpx.ConnectError`` and
a ``PinError``. An HTTP/2 connection serves only the host that it was made to, so that every host is
checked. ``httpx.Proxy(url, ssl_context=…)`` sets the TLS to an ``https://`` proxy: verified by
default, and unpinned unless that context pins.
"""

from __future__ import annotations

from certpin.clients._common import missing_library
from certpin.clients._httpx_base import AsyncPinningTransport, PinningClient, PinningTransport

try:
    import httpcore
    import httpx
except ModuleNotFoundError as exc:
    raise missing_library("httpx", exc) from exc


class PinnedTransport(PinningTransport, httpx.HTTPTransport):
    """An ``httpx.HTTPTransport`` that enforces pins: ``PinnedTransport(pins, **options)``.

    ``pins`` is a pin set or a ``PinnedSSLContext``. The options are those of the base class,
    without those about TLS. ``on_failure`` are functions to call for each failure, allowed only if
    ``pins`` is a pin set.
    """

    _error = httpx.ConnectError
    _unavailable = httpcore.ConnectionNotAvailable


class AsyncPinnedTransport(AsyncPinningTransport, httpx.AsyncHTTPTransport):
    """A pinned ``httpx.AsyncHTTPTransport``: ``AsyncPinnedTransport(pins, **options)``.

    The arguments are those of ``PinnedTransport``.
    """

    _error = httpx.ConnectError
    _unavailable = httpcore.ConnectionNotAvailable


class PinnedClient(PinningClient, httpx.Client):
    """An ``httpx.Client`` that enforces pins: ``PinnedClient(pins, **options)``.

    ``transport`` and ``mounts`` accept only pinned transports. By default (``trust_env``) the
    client uses the proxies that the environment names. ``pins`` and ``on_failure`` are those of
    ``PinnedTransport``. The options are those of ``httpx.Client``, without those about TLS.
    """

    _transport_type = PinnedTransport


class AsyncPinnedClient(PinningClient, httpx.AsyncClient):
    """An ``httpx.AsyncClient`` that enforces pins: ``AsyncPinnedClient(pins, **options)``.

    ``transport`` and ``mounts`` accept only pinned transports. By default (``trust_env``) the
    client uses the proxies that the environment names. ``pins`` and ``on_failure`` are those of
    ``PinnedTransport``. The options are those of ``httpx.AsyncClient``, without those about TLS.
    """

    _transport_type = AsyncPinnedTransport
