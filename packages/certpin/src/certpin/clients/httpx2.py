"""Pinned clients for httpx2, HTTP/1.1 and HTTP/2, sync and async.

    with PinnedClient(pins, http2=True) as client:
        client.get("https://api.bank.example/")

The clients take the options of their base classes except ``verify`` and ``cert``. If the pinned
context refuses a connection, the request raises an error that is both an ``httpx2.ConnectError``
and a ``PinError``. An HTTP/2 connection serves only the host that it was made to, so that every
host is checked. ``httpx2.Proxy(url, ssl_context=…)`` sets the TLS to an ``https://`` proxy:
verified by default, and unpinned unless that context pins.
"""

from __future__ import annotations

from certpin.clients._common import missing_library
from certpin.clients._httpx_base import AsyncPinningTransport, PinningClient, PinningTransport

try:
    import httpcore2
    import httpx2
except ModuleNotFoundError as exc:
    raise missing_library("httpx2", exc) from exc


class PinnedTransport(PinningTransport, httpx2.HTTPTransport):
    """An ``httpx2.HTTPTransport`` that enforces pins: ``PinnedTransport(pins, **options)``.

    ``pins`` is a pin set or a ``PinnedSSLContext``. The options are those of the base class,
    without those about TLS. ``on_failure`` are functions to call for each failure, allowed only if
    ``pins`` is a pin set.
    """

    _error = httpx2.ConnectError
    _unavailable = httpcore2.ConnectionNotAvailable


class AsyncPinnedTransport(AsyncPinningTransport, httpx2.AsyncHTTPTransport):
    """A pinned ``httpx2.AsyncHTTPTransport``: ``AsyncPinnedTransport(pins, **options)``.

    The arguments are those of ``PinnedTransport``.
    """

    _error = httpx2.ConnectError
    _unavailable = httpcore2.ConnectionNotAvailable


class PinnedClient(PinningClient, httpx2.Client):
    """An ``httpx2.Client`` that enforces pins: ``PinnedClient(pins, **options)``.

    ``transport`` and ``mounts`` accept only pinned transports. By default (``trust_env``) the
    client uses the proxies that the environment names. ``pins`` and ``on_failure`` are those of
    ``PinnedTransport``. The options are those of ``httpx2.Client``, without those about TLS.
    """

    _transport_type = PinnedTransport


class AsyncPinnedClient(PinningClient, httpx2.AsyncClient):
    """An ``httpx2.AsyncClient`` that enforces pins: ``AsyncPinnedClient(pins, **options)``.

    ``transport`` and ``mounts`` accept only pinned transports. By default (``trust_env``) the
    client uses the proxies that the environment names. ``pins`` and ``on_failure`` are those of
    ``PinnedTransport``. The options are those of ``httpx2.AsyncClient``, without those about TLS.
    """

    _transport_type = AsyncPinnedTransport
