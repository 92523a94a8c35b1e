"""Pinned sessions for niquests, sync and async, HTTP/1.1 and HTTP/2.

    with PinnedSession(pins) as session:
        session.get("https://api.bank.example/")

    async with AsyncPinnedSession(pins) as session:
        await session.get("https://api.bank.example/")

The sessions take the options of their base classes except those about TLS. If the pinned context
refuses a connection, the request raises an error that is both a ``niquests.exceptions.SSLError``
and a ``PinError``. HTTP/3 and the TLS backends rtls and utls are not used for pinned hosts, because
each has its own TLS without pins. ``verify=``, ``cert=`` and ``tls_configuration=`` raise
``ConfigError``.

niquests' revocation check is off unless ``revocation_configuration=`` is given, because it contacts
hosts that a certificate names, over ``http://`` and without pins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from certpin.clients._common import (
    context_of,
    missing_library,
    pinned_in_place,
    refuse_bundle,
    refuse_options,
    refused_option,
)
from certpin.clients._requests_base import NotCopied, PinningAdapter
from certpin.clients._urllib3_base import (
    AsyncPinningConnection,
    AsyncPinningManager,
    AsyncPinningPool,
    PinningConnection,
    PinningManager,
    PinningPool,
    refuse_http3,
)

try:
    from niquests import AsyncSession, Session
    from niquests.adapters import AsyncHTTPAdapter, HTTPAdapter
    from niquests.exceptions import SSLError
    from niquests.packages import urllib3
    from niquests.packages.urllib3._async.connection import AsyncHTTPSConnection
    from niquests.packages.urllib3.connection import HTTPSConnection
    from niquests.packages.urllib3.exceptions import SSLError as UrllibError
except ModuleNotFoundError as exc:
    raise missing_library("niquests", exc) from exc

if TYPE_CHECKING:
    from collections.abc import Iterable

    from certpin.clients._common import Pins
    from certpin.tls.failures import FailureHook


class _NiquestsConnection(PinningConnection, HTTPSConnection):
    _http3 = urllib3.HttpVersion.h3


class _AsyncConnection(AsyncPinningConnection, AsyncHTTPSConnection):
    _http3 = urllib3.HttpVersion.h3


class _NiquestsPool(PinningPool, urllib3.HTTPSConnectionPool):
    ConnectionCls = _NiquestsConnection
    _error = UrllibError


class _AsyncPool(AsyncPinningPool, urllib3.AsyncHTTPSConnectionPool):
    ConnectionCls = _AsyncConnection
    _error = UrllibError


class _PoolManager(PinningManager, urllib3.PoolManager):
    _https = _NiquestsPool


class _ProxyManager(PinningManager, urllib3.ProxyManager):
    _https = _NiquestsPool


class _AsyncPoolManager(AsyncPinningManager, urllib3.AsyncPoolManager):
    _https = _AsyncPool


class _AsyncProxyManager(AsyncPinningManager, urllib3.AsyncProxyManager):
    _https = _AsyncPool


class _Adapter(PinningAdapter):
    """Base class of the synchronous and the asynchronous pinned adapter for niquests."""

    _error = SSLError
    _proxy_options = ("resolver", "happy_eyeballs", "source_address")

    def __init__(
        self, pins: Pins, *, on_failure: Iterable[FailureHook] = (), **options: Any
    ) -> None:
        _refuse(options)
        super().__init__(pins, on_failure=on_failure, **_safe(options))

    def init_poolmanager(
        self,
        connections: int,
        maxsize: int,
        block: bool = False,
        quic_cache_layer: object = None,
        **options: Any,
    ) -> None:
        """Make the adapter's pool manager: a pinned one, without niquests' cache for HTTP/3.

        niquests calls this method.
        """
        super().init_poolmanager(connections, maxsize, block, **options)

    def cert_verify(self, conn: object, url: object, verify: object, cert: object) -> bool:
        """Do nothing, and return False. niquests calls this method for each request.

        The method of niquests would load a CA bundle into the context.
        """
        return False


class PinnedAdapter(_Adapter, HTTPAdapter):
    """A niquests ``HTTPAdapter`` that enforces pins: ``PinnedAdapter(pins, **options)``.

    Mount it for ``https://`` and ``http://``. Otherwise a redirect to the other scheme bypasses it.
    ``pins`` is a pin set or a ``PinnedSSLContext``. The options are those of the base class,
    without those about TLS. ``on_failure`` are functions to call for each failure, allowed only if
    ``pins`` is a pin set.
    """

    _managers = (_PoolManager, _ProxyManager)

    def send(
        self,
        request: Any,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
        **options: Any,
    ) -> Any:
        """Send one request, and return the response.

        If the pinned context refuses the connection, raise an error that is both an ``SSLError``
        and a ``PinError``.

        Raises:
            ConfigError: an option would weaken TLS.
        """
        with self._pinned(request, verify, cert):
            return super().send(request, stream, timeout, True, None, proxies, **options)


class AsyncPinnedAdapter(_Adapter, AsyncHTTPAdapter):
    """A niquests ``AsyncHTTPAdapter`` that enforces pins: ``AsyncPinnedAdapter(pins, **options)``.

    Mount it for ``https://`` and ``http://``. Otherwise a redirect to the other scheme bypasses it.
    ``pins`` is a pin set or a ``PinnedSSLContext``. The options are those of the base class,
    without those about TLS. ``on_failure`` are functions to call for each failure, allowed only if
    ``pins`` is a pin set.
    """

    _managers = (_AsyncPoolManager, _AsyncProxyManager)

    async def send(
        self,
        request: Any,
        stream: bool = False,
        timeout: Any = None,  # noqa: ASYNC109  # niquests names it so
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
        **options: Any,
    ) -> Any:
        """Send one request, and return the response.

        If the pinned context refuses the connection, raise an error that is both an ``SSLError``
        and a ``PinError``.

        Raises:
            ConfigError: an option would weaken TLS.
        """
        with self._pinned(request, verify, cert):
            return await super().send(request, stream, timeout, True, None, proxies, **options)


class _Session(NotCopied):
    """Base class of the synchronous and the asynchronous pinned session for niquests.

    ``_pinned_adapter`` is the class of the session's pinned adapters, and ``_plain_adapter`` the
    niquests class that it replaces.
    """

    _pinned_adapter: Any
    _plain_adapter: Any

    def __init__(
        self, pins: Pins, *, on_failure: Iterable[FailureHook] = (), **options: Any
    ) -> None:
        _refuse(options)
        self.context = context_of(pins, on_failure)
        base: Any = super()
        base.__init__(**_safe(options))

    def mount(self, prefix: str, adapter: Any) -> None:
        """Mount an adapter for URLs that begin with ``prefix``.

        If the adapter is niquests' own, a pinned one with the same options is mounted instead:
        niquests mounts its own adapters in the constructor, and again after its resolver was
        closed.
        """
        if type(adapter) is self._plain_adapter:
            options = {name: getattr(adapter, f"_{name}") for name in _ADAPTER_OPTIONS}
            adapter = self._pinned_adapter(self.context, max_retries=adapter.max_retries, **options)
        base: Any = super()
        base.mount(prefix, adapter)

    def get_adapter(self, url: str) -> Any:
        """Return the adapter that sends requests for a URL.

        Raises ``ConfigError`` if the adapter is not pinned.
        """
        base: Any = super()
        adapter = base.get_adapter(url)
        if not isinstance(adapter, self._pinned_adapter):
            raise refused_option("mount", adapter, instead=pinned_in_place(self._pinned_adapter))
        return adapter


class PinnedSession(_Session, Session):
    """A ``niquests.Session`` that sends only through pinned adapters: ``PinnedSession(pins)``.

    ``pins`` is a pin set or a ``PinnedSSLContext``. The options are those of the base class,
    without those about TLS. ``on_failure`` are functions to call for each failure, allowed only if
    ``pins`` is a pin set.
    """

    _pinned_adapter = PinnedAdapter
    _plain_adapter = HTTPAdapter


class AsyncPinnedSession(_Session, AsyncSession):
    """A pinned ``niquests.AsyncSession``: ``AsyncPinnedSession(pins, **options)``.

    It sends only through pinned adapters. ``pins`` is a pin set or a ``PinnedSSLContext``. The
    options are those of the base class; those about TLS raise ``ConfigError``. ``on_failure`` are
    functions to call for each failure, allowed only if ``pins`` is a pin set.
    """

    _pinned_adapter = AsyncPinnedAdapter
    _plain_adapter = AsyncHTTPAdapter


# The options of a plain adapter that its pinned replacement takes over.
_ADAPTER_OPTIONS = (
    *("allow_incoming_cookies", "disable_http1", "disable_http2", "disable_ipv4", "disable_ipv6"),
    *("happy_eyeballs", "keepalive_delay", "keepalive_idle_window", "pool_block"),
    *("pool_connections", "pool_maxsize", "resolver", "revocation_configuration"),
    "source_address",
)


def _refuse(options: dict[str, Any]) -> None:
    refuse_bundle(options.get("verify", True))
    refuse_options(options, "cert", "tls_configuration")
    refuse_http3(options, "quic_cache_layer")
    if options.get("disable_http3") is False:
        refuse_http3(options, "disable_http3")


def _safe(options: dict[str, Any]) -> dict[str, Any]:
    """Return an adapter's options, changed to turn off HTTP/3 and, by default, revocation checks.

    The caller can turn the revocation checks on with ``revocation_configuration``.
    """
    return {"revocation_configuration": None, **options, "disable_http3": True}
