"""Code that the clients for urllib3 and niquests share, without importing either library.

niquests is built on urllib3-future, which also replaces urllib3 when it is installed. So the same
classes serve both; each comes before the library's own in a list of bases. urllib3-future can
bypass a context in several ways. This module prevents them (rule 14 of docs/concepts/matching.md):

- HTTP/3: urllib3-future finds QUIC servers by ``Alt-Svc`` (RFC 7838), by its cache and by DNS. Its
  TLS copies the context's roots and not its pins. So ``disabled_svn`` always contains HTTP/3 here.
- rtls and utls: if one of them is installed, a connection rebuilds the context of its constructor.
  So a connection is constructed without a context, and gets the pinned one afterwards.
- Ways that later versions may add: before a request is sent on a connection, ``assert_pinned``
  requires that the pinned context has checked this connection.
"""

from __future__ import annotations

import ssl
import sys
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import TYPE_CHECKING, Any

from certpin.clients._common import (
    ContextWrapper,
    admitted,
    both,
    context_of,
    refuse_options,
    refused_option,
)
from certpin.errors import ConfigError, PinError, pin_error
from certpin.tls import PinnedSSLContext, assert_pinned
from certpin.tls.assertion import pins_hold
from certpin.tls.failures import requesting

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from certpin.clients._common import Pins
    from certpin.tls.failures import FailureHook

# The TLS options of urllib3 and urllib3-future: they would bypass the context.
_TLS_OPTIONS = (
    *("assert_fingerprint", "assert_hostname", "server_hostname"),
    *("ca_cert_data", "ca_cert_dir", "ca_certs"),
    *("cert_data", "cert_file", "key_data", "key_file", "key_password"),
    *("ciphers", "ssl_backend"),
    *("ssl_maximum_version", "ssl_minimum_version", "ssl_version"),
)
_SHARED = "_wrapper_for_urllib3"  # an attribute of a pinned context
_REQUIRED = frozenset({None, ssl.CERT_REQUIRED, "CERT_REQUIRED", "REQUIRED"})


def refuse_tls_options(options: Mapping[str, Any]) -> None:
    """Raise ``ConfigError`` if an option is set that changes TLS or its verification.

    ``options`` are the options of a pool or of its manager, or the attributes of a connection, by
    name.
    """
    refuse_options(options, *_TLS_OPTIONS)
    if options.get("cert_reqs") not in _REQUIRED:
        raise refused_option("cert_reqs", options["cert_reqs"])


def refuse_http3(options: Mapping[str, Any], *names: str) -> None:
    """Raise ``ConfigError`` if one of the named options, which enable HTTP/3, is not ``None``.

    HTTP/3 doesn't use the pinned context. ``options`` are the caller's options by name, and
    ``names`` those of the options that enable HTTP/3.
    """
    for name in names:
        if options.get(name) is not None:
            raise ConfigError(
                "it is refused: HTTP/3 uses other TLS, without pins",
                key=name,
                fix="remove it; pinned clients use HTTP/1.1 and HTTP/2",
            )


class RefusedError(Exception):
    """Raised by a pinned connection instead of a ``PinError``, which it carries as ``error``.

    urllib3 does not catch this type, so it does not retry. A retry would contact an attacker again.
    The pool of the connection catches it, and raises an error for the caller that is both the
    library's ``SSLError`` and the ``PinError``.
    """

    def __init__(self, error: PinError) -> None:
        super().__init__(error)
        self.error = error


class _BaseConnection:
    """Base class of the pinned connections of urllib3 and niquests.

    ``_http3`` is the library's name for HTTP/3; ``None`` if the library doesn't support HTTP/3
    (urllib3).
    """

    _http3: Any = None

    ssl_context: Any
    sock: Any
    host: str
    port: int
    _tunnel_host: str | None
    _tunnel_port: int | None

    def __init__(self, *args: Any, ssl_context: Any = None, **options: Any) -> None:
        if self._http3 is not None:
            options["disabled_svn"] = {*(options.get("disabled_svn") or ()), self._http3}
            options["preemptive_quic_cache"] = None
        base: Any = super()
        base.__init__(*args, **options)
        self.ssl_context = ssl_context

    @property
    def is_connected(self) -> bool:
        """Whether the next request can use this connection. Otherwise, its pool closes it first.

        False if the connection was lost, or if the pins in force refuse the chain that the server
        presented when it was made. The pool reads this property before each request.
        """
        base: Any = super()
        return bool(base.is_connected) and pins_hold(self.sock)

    def _wrapper(self, context: PinnedSSLContext) -> ContextWrapper:
        """Return the ``ContextWrapper`` of a pinned context for this connection.

        With urllib3, all connections share one wrapper: they offer the same ALPN protocols, and
        making a wrapper takes a sixth of the time of a handshake. With urllib3-future, each
        connection has its own wrapper, because connections can offer different protocols.
        """
        if self._http3 is not None:
            return ContextWrapper(context)
        wrapper = vars(context).get(_SHARED)
        if wrapper is None:
            wrapper = ContextWrapper(context)
            setattr(context, _SHARED, wrapper)
        return wrapper

    @contextmanager
    def _pinned(self) -> Iterator[None]:
        """Context manager: require that the ``with`` block connects with the pinned context.

        Raises ``RefusedError`` if the pins or the certificates don't pass the check, and
        ``ConfigError`` if a setting weakens TLS. Errors of the network are those of urllib3.
        """
        refuse_tls_options(vars(self))
        context = self.ssl_context
        if not isinstance(context, PinnedSSLContext):
            raise refused_option("ssl_context", context)
        host, port = self.host, self.port
        if self._tunnel_host:
            host, port = self._tunnel_host, self._tunnel_port or port
        self.ssl_context = self._wrapper(context)
        try:
            with requesting(host, port):
                yield
            assert_pinned(self.sock, _name(host), strict=context.strict)
        except PinError as exc:
            raise RefusedError(exc) from None
        finally:
            self.ssl_context = context


class PinningConnection(_BaseConnection):
    """A connection with the pinned context, for urllib3 and niquests.

    It checks its TLS settings when it connects and not when it is created, because connection pools
    can change the settings in between. ``connect`` raises ``ConfigError`` if one weakens TLS.
    """

    def connect(self) -> None:
        """Connect, directly or through a proxy, and check the pins.

        Raises ``RefusedError`` if the pins or the certificates don't pass the check, and
        ``ConfigError`` if a setting weakens TLS. Errors of the network are those of urllib3.
        """
        base: Any = super()
        try:
            with self._pinned():
                base.connect()
        except RefusedError:
            base.close()
            raise


class AsyncPinningConnection(_BaseConnection):
    """An asynchronous connection with the pinned context, for niquests."""

    async def connect(self) -> None:
        """Connect, directly or through a proxy, and check the pins.

        Raises ``RefusedError`` if the pins or the certificates don't pass the check, and
        ``ConfigError`` if a setting weakens TLS. Errors of the network are those of urllib3.
        """
        base: Any = super()
        try:
            with self._pinned():
                await base.connect()
        except RefusedError:
            await base.close()
            raise


class _BasePool:
    """Base class of the pools of pinned connections. ``_error`` is the library's ``SSLError``.

    If the pinned context refuses a connection, a request through the pool raises an error that is
    both this ``SSLError`` and a ``PinError``.
    """

    _error: Any

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        handled = sys.exception()
        try:
            yield
        except RefusedError as exc:
            error = exc.error
        except Exception as exc:  # happy eyeballs of urllib3-future wrap it
            found = pin_error(exc, handled=handled)
            if found is None:
                raise
            error = found
        else:
            return
        raise both(self._error(str(error)), error) from error.__cause__


class PinningPool(_BasePool):
    """Base class of the pools of pinned connections to one host, for urllib3 and niquests."""

    def urlopen(self, *args: Any, **kwargs: Any) -> Any:
        """Send one request, and return the response.

        If the pinned context refuses the connection, raise an error that is both an ``SSLError``
        and a ``PinError``.
        """
        base: Any = super()
        with self._refusing():
            return base.urlopen(*args, **kwargs)


class AsyncPinningPool(_BasePool):
    """Base class of the asynchronous pools of pinned connections to one host, for niquests."""

    async def urlopen(self, *args: Any, **kwargs: Any) -> Any:
        """Send one request, and return the response.

        If the pinned context refuses the connection, raise an error that is both an ``SSLError``
        and a ``PinError``.
        """
        base: Any = super()
        with self._refusing():
            return await base.urlopen(*args, **kwargs)


class _Manager:
    """Base class of the pinned pool managers. ``_https`` is the class of ``https://`` pools."""

    _https: Any
    pool_classes_by_scheme: Any

    def __init__(
        self, pins: Pins, *args: Any, on_failure: Iterable[FailureHook] = (), **options: Any
    ) -> None:
        refuse_tls_options(options)
        refuse_options(options, "ssl_context")
        refuse_http3(options, "preemptive_quic_cache")
        if options.get("use_forwarding_for_https"):
            raise refused_option("use_forwarding_for_https", True)
        self.context = context_of(pins, on_failure)
        base: Any = super()
        base.__init__(*args, ssl_context=self.context, **options)
        self.pool_classes_by_scheme = self.pool_classes_by_scheme | {"https": self._https}

    @contextmanager
    def _admitted(
        self, host: str | None, port: int | None, scheme: str | None, options: Any
    ) -> Iterator[None]:
        """Context manager: check that requests to a host are allowed, and then run the block.

        If requests are not allowed, raise an error that is both the library's ``SSLError`` and a
        ``PinError``. If an option would change TLS, raise ``ConfigError``.

        Args:
            host: the host; ``None`` counts as an empty name.
            port: the port; ``None`` for the default port of the scheme.
            scheme: the scheme of the URL; ``None`` for ``http``.
            options: the options for the pool; ``None`` if there are none.
        """
        refuse_tls_options(options or {})
        refuse_http3(options or {}, "preemptive_quic_cache")
        try:
            with admitted(self.context, scheme or "http", host or "", port):
                yield
        except PinError as exc:
            raise both(self._https._error(str(exc)), exc) from exc.__cause__

    def _admitted_pool(self, key: Mapping[str, Any]) -> AbstractContextManager[None]:
        """Return a context manager that checks a pool's host as ``_admitted`` does.

        ``key`` has the pool's scheme, host and port. If they are those of the proxy, nothing is
        checked: such a pool sends requests in clear text to other hosts, and
        ``connection_from_host`` has checked those hosts.
        """
        target = (key["scheme"], key["host"], key["port"])
        proxy = getattr(self, "proxy", None)
        if proxy is not None and target == (proxy.scheme, proxy.host, proxy.port):
            return nullcontext()
        scheme, host, port = target
        return self._admitted(host, port, scheme, None)


class PinningManager(_Manager):
    """Base class that gives a pool manager or proxy manager of urllib3 or niquests pinned pools."""

    def connection_from_host(
        self,
        host: str | None,
        port: int | None = None,
        scheme: str | None = "http",
        pool_kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Return the connection pool for a host, or raise an error if the request must not be sent.

        A strict context refuses clear text and unpinned hosts; other contexts refuse clear text to
        hosts with enforced pins. urllib3 calls this method for each request and each redirect. The
        error is both the library's ``SSLError`` and a ``PinError``; it is ``ConfigError`` if
        ``pool_kwargs`` contains an option that changes TLS.
        """
        base: Any = super()
        with self._admitted(host, port, scheme, pool_kwargs):
            return base.connection_from_host(host, port, scheme, pool_kwargs)

    def connection_from_pool_key(self, pool_key: Any, request_context: dict[str, Any]) -> Any:
        """Return the connection pool for a key, or raise an error as ``connection_from_host`` does.

        The library calls this method for every pool, also for ``connection_from_context``. The key
        and ``request_context`` have the scheme, host, port and options of the pool.
        """
        base: Any = super()
        with self._admitted_pool(request_context):
            return base.connection_from_pool_key(pool_key, request_context)


class AsyncPinningManager(_Manager):
    """Base class that gives an asynchronous pool or proxy manager of niquests pinned pools."""

    async def connection_from_host(
        self,
        host: str | None,
        port: int | None = None,
        scheme: str | None = "http",
        pool_kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Return the connection pool for a host, or raise an error if the request must not be sent.

        A strict context refuses clear text and unpinned hosts; other contexts refuse clear text to
        hosts with enforced pins. urllib3-future calls this method for each request and each
        redirect. The error is both the library's ``SSLError`` and a ``PinError``; it is
        ``ConfigError`` if ``pool_kwargs`` contains an option that changes TLS.
        """
        base: Any = super()
        with self._admitted(host, port, scheme, pool_kwargs):
            return await base.connection_from_host(host, port, scheme, pool_kwargs)

    async def connection_from_pool_key(self, pool_key: Any, request_context: dict[str, Any]) -> Any:
        """Return the connection pool for a key, or raise an error as ``connection_from_host`` does.

        The library calls this method for every pool, also for ``connection_from_context``. The key
        and ``request_context`` have the scheme, host, port and options of the pool.
        """
        base: Any = super()
        with self._admitted_pool(request_context):
            return await base.connection_from_pool_key(pool_key, request_context)


def pin_socks_manager(manager: Any, like: Any) -> Any:
    """Make a ``SOCKSProxyManager`` use pinned pools, and return the manager.

    The pinned pools connect through the proxy, too. They are needed because the manager's original
    pools don't require that the pinned context checked the connection, and raise no ``PinError``.

    Args:
        manager: the ``SOCKSProxyManager``, which is changed.
        like: a pinned pool class of the same library.
    """
    theirs = manager.pool_classes_by_scheme["https"]
    ours = _socks_pool(theirs, like)
    manager.pool_classes_by_scheme = manager.pool_classes_by_scheme | {"https": ours}
    return manager


@cache
def _socks_pool(theirs: Any, like: Any) -> Any:
    if issubclass(theirs, _BasePool):
        return theirs  # by an earlier call
    pool, connection = like.__bases__[0], like.ConnectionCls.__bases__[0]
    names = {"_http3": like.ConnectionCls._http3}
    kind = type("PinnedSOCKSConnection", (connection, theirs.ConnectionCls), names)
    return type("PinnedSOCKSPool", (pool, theirs), {"ConnectionCls": kind, "_error": like._error})


def _name(host: str) -> str:
    """Return a host in the form in which urllib3 passes it to TLS, to compare it with that name.

    An IPv6 address has no brackets and no zone in this form.
    """
    return host.strip("[]").partition("%")[0]
