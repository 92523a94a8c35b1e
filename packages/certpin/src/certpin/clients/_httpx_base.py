"""Code that the pinned clients for httpx and httpx2 share, without importing either library.

Each class here comes before a class of the library in a list of bases: ``class
PinnedTransport(PinningTransport, httpx.HTTPTransport)``. The transport refuses requests in clear
text, and raises refusals as an error that is both the library's and a ``PinError``. It can do so
for all requests, because redirects, authentication flows and proxies also pass through it. After
the handshake, the context must have checked the connection (rule 14 of docs/concepts/matching.md).
The transport verifies this before the request is sent, in a callback for httpcore's trace events.
The callback also ends the request after a refusal, because httpcore would otherwise try again.

httpcore keeps connections for later requests. If the pin set was replaced in between, the chain of
a kept connection is checked again (``_KeptConnection``), when httpcore selects the connection and
again when it sends the request: with HTTP/2, a request can wait for another one in between.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from copy import copy
from typing import TYPE_CHECKING, Any

from certpin.clients._common import (
    ContextWrapper,
    admitted,
    both,
    context_of,
    pinned_in_place,
    refuse_options,
    refused_option,
)
from certpin.errors import PinError, pin_error
from certpin.tls import assert_pinned
from certpin.tls.assertion import pins_hold

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from certpin.clients._common import Pins
    from certpin.tls import PinnedSSLContext
    from certpin.tls.failures import FailureHook

# The ends of httpcore's trace events for a new stream.
_OPENED = (".connect_tcp.complete", ".connect_unix_socket.complete", ".start_tls.complete")
_EXTENSION = "certpin"  # of httpcore's requests: the ``_Connections`` of the request


class _Transport:
    """Base class of the pinned transports for httpx and httpx2.

    ``_error`` is the error class ``ConnectError`` of the library, and ``_unavailable`` the error
    class ``ConnectionNotAvailable`` of its httpcore, after which httpcore uses another connection.
    """

    _error: type[Exception]
    _unavailable: type[Exception]

    _pool: Any  # httpcore's pool of connections, which the library makes

    def __init__(
        self, pins: Pins, *, on_failure: Iterable[FailureHook] = (), **options: Any
    ) -> None:
        refuse_options(options, "verify", "cert")
        self.context = context_of(pins, on_failure)
        self._wrapper = ContextWrapper(self.context)
        base: Any = super()
        base.__init__(verify=self._wrapper, **options)
        create = self._pool.create_connection
        self._pool.create_connection = lambda origin: _KeptConnection(
            create(origin), self._unavailable
        )

    @contextmanager
    def _traced(
        self, request: Any, trace: Callable[..., Any], connections: _Connections
    ) -> Iterator[None]:
        """Context manager: make httpcore call ``trace`` for the events of a request in the block.

        ``connections`` checks the connections of the request: the connection that sends it finds
        this object in the request's extensions.
        """
        given = request.extensions
        request.extensions = {**given, "trace": trace, _EXTENSION: connections}
        try:
            yield
        finally:
            request.extensions = given

    @contextmanager
    def _pinned(self, request: Any) -> Iterator[None]:
        # It would verify another host than that of the URL, and the pool's key is the URL's host.
        refuse_options(request.extensions, "sni_hostname")
        handled = sys.exception()
        try:
            url = request.url
            with admitted(self.context, url.scheme, url.host, url.port):
                yield
        except (self._error, PinError) as exc:
            error = pin_error(exc, handled=handled)
            if error is None:
                raise
            kind: Any = self._error
            raise both(kind(str(error), request=request), error) from error.__cause__


class _KeptConnection:
    """A connection in httpcore's pool. It sends no request once the pins in force refuse it.

    It has the methods of httpcore's connection, which it calls. The pool asks it if it is available
    for a request, and closes it if it is idle and has expired. A connection that the pins refuse is
    not available, and has expired. So responses that are being received are not interrupted.

    If the request that connects is refused or cancelled, this class closes the connection. httpcore
    itself does not close it after a cancellation. Behind a proxy, it keeps the connection's place
    in the pool for ever, so that in the end each request is a ``PoolTimeout`` (its issues 1023 and
    1093).
    """

    def __init__(self, connection: Any, unavailable: type[Exception]) -> None:
        self._connection = connection
        self._unavailable = unavailable
        self._is_lost = False
        self.tls: Any = None  # the TLS object of the connection to the host, once it was checked

    def is_refused(self) -> bool:
        """Return True if the pins were replaced, and the new ones don't accept the connection.

        The pool then takes another connection, or makes a new one.
        """
        return self.tls is not None and not pins_hold(self.tls)

    def is_available(self) -> bool:
        """Return True if the connection can take a request now.

        The pool calls this before it selects a connection for a request.
        """
        return self._connection.is_available() and not self.is_refused()

    def has_expired(self) -> bool:
        """Return True if the pool has to close the connection.

        This is so if httpcore's connection has expired, or if it is idle and the pins in force
        refuse it.
        """
        connection = self._connection
        return connection.has_expired() or (connection.is_idle() and self.is_refused())

    def is_closed(self) -> bool:
        """Return True if the pool has to forget the connection."""
        return self._is_lost or self._connection.is_closed()

    def handle_request(self, request: Any) -> Any:
        """Send a request over this connection, and return the response.

        httpcore's pool calls this method after it has selected the connection. The connection is
        recorded in the request's ``_Connections`` as the current one, so that the pin checks apply
        to it. If the request fails or is cancelled while it connects, what it opened is closed.
        """
        connections = self._begin(request)
        try:
            return self._connection.handle_request(request)
        except self._unavailable:
            raise
        except BaseException:
            if self._loses(connections):
                connections.opened.close()
            raise

    async def handle_async_request(self, request: Any) -> Any:
        """Do the same as ``handle_request`` for an asynchronous client."""
        connections = self._begin(request)
        try:
            return await self._connection.handle_async_request(request)
        except self._unavailable:
            raise
        except BaseException:
            if self._loses(connections):
                await connections.opened.aclose()
            raise

    def _begin(self, request: Any) -> _Connections:
        connections: _Connections = request.extensions[_EXTENSION]
        connections.current, connections.opened = self, None
        return connections

    def _loses(self, connections: _Connections) -> bool:
        """Return True if a failed request opened a stream, and no other request can use it.

        The caller then closes the stream, and the pool forgets this connection. HTTP/2 connections
        that others use stay open.
        """
        is_lost = connections.opened is not None and not self._connection.is_available()
        self._is_lost = self._is_lost or is_lost
        return is_lost

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def __repr__(self) -> str:
        return repr(self._connection)


class _Connections:
    """Finds the TLS connections of a request in httpcore's trace events, and checks them.

    ``wrapper`` is the ``ContextWrapper`` with which httpcore makes TLS connections to hosts. TLS
    connections to an ``https://`` proxy use another context, and are not checked. ``unavailable``
    is the error that makes httpcore send the request over another connection. ``current`` is the
    connection that the pool selected for the request, and ``opened`` the last stream that the
    request opened: TCP, or TLS in it; None if it opened none.
    """

    current: _KeptConnection  # the one that the pool selected for the request
    opened: Any = None

    def __init__(
        self,
        context: PinnedSSLContext,
        wrapper: ContextWrapper,
        unavailable: type[Exception],
    ) -> None:
        self._context = context
        self._wrapper = wrapper
        self._unavailable = unavailable
        self._ours = False

    def made(self, event: str, info: dict[str, Any]) -> Any:
        """Return the new TLS stream to the host, if a trace event reports that TLS is established.

        Return None for any other event, and for TLS to an ``https://`` proxy. httpcore sends the
        trace events.

        Args:
            event: the name of the trace event.
            info: the arguments of the event, and its result.
        """
        if event.endswith(_OPENED):
            self.opened = info["return_value"]
        if event.endswith(".start_tls.started"):
            self._ours = info["ssl_context"] is self._wrapper
        if event.endswith(".start_tls.complete") and self._ours:
            return info["return_value"]
        return None

    def require_checked(self, stream: Any, host: str) -> None:
        """Raise ``UncheckedConnectionError`` if the pins were not checked on a new TLS stream.

        ``stream`` is the stream that ``made`` found in an event of httpcore. If it is None, the
        event reports no new TLS connection to the host, and nothing has to be checked.
        """
        if stream is not None:
            tls = stream.get_extra_info("ssl_object")
            assert_pinned(tls, host, strict=self._context.strict)
            self.current.tls = tls

    def require_current_pins(self, event: str) -> None:
        """Raise an error if a request is about to be sent over a connection that the pins refuse.

        The pins were then replaced after the connection was made. The error (``unavailable``) makes
        httpcore send the request over another connection. ``event`` is the name of the trace event;
        events other than the beginning of a request change nothing.
        """
        if event.endswith(".send_request_headers.started") and self.current.is_refused():
            raise self._unavailable


def _raise_refusal(event: str, info: dict[str, Any]) -> None:
    """Raise the ``PinError`` that ended a TLS handshake, if a trace event reports one.

    ``event`` is the name of the trace event of httpcore, and ``info`` has its exception. Without
    this function, httpcore would turn the ``PinError`` into a ``ConnectError``, and connect again
    if the transport has ``retries``. A retry would contact an attacker again.
    """
    if not event.endswith(".start_tls.failed"):
        return
    # Only causes: the context may be an error that the caller was handling before.
    error: BaseException | None = info["exception"]
    while error is not None and not isinstance(error, PinError):
        error = error.__cause__
    if error is not None:
        raise copy(error) from error.__cause__


class PinningTransport(_Transport):
    """Base class that adds the pin checks to a synchronous transport of httpx or httpx2."""

    def handle_request(self, request: Any) -> Any:
        """Send one request over a connection that passed the pin check, and return the response.

        The library's client calls this method for each request, also for each redirect. A failed
        check ends the connection before the request is sent.

        Raises:
            PinError: the pinned context refuses the connection, or the request in clear text. The
                error is also the library's ``ConnectError``. Other errors of the library are raised
                unchanged.
        """
        base: Any = super()
        theirs = request.extensions.get("trace")
        connections = _Connections(self.context, self._wrapper, self._unavailable)

        def trace(event: str, info: dict[str, Any]) -> None:
            connections.require_current_pins(event)
            stream = connections.made(event, info)
            try:
                connections.require_checked(stream, request.url.host)
            except BaseException:
                stream.close()
                raise
            if theirs is not None:
                theirs(event, info)
            _raise_refusal(event, info)

        with self._pinned(request), self._traced(request, trace, connections):
            return base.handle_request(request)


class AsyncPinningTransport(_Transport):
    """Base class that adds the pin checks to an asynchronous transport of httpx or httpx2."""

    async def handle_async_request(self, request: Any) -> Any:
        """Send one request over a connection that passed the pin check, and return the response.

        The library's client calls this method for each request, also for each redirect. A failed
        check ends the connection before the request is sent.

        Raises:
            PinError: the pinned context refuses the connection, or the request in clear text. The
                error is also the library's ``ConnectError``. Other errors of the library are raised
                unchanged.
        """
        base: Any = super()
        theirs = request.extensions.get("trace")
        connections = _Connections(self.context, self._wrapper, self._unavailable)

        async def trace(event: str, info: dict[str, Any]) -> None:
            connections.require_current_pins(event)
            stream = connections.made(event, info)
            try:
                connections.require_checked(stream, request.url.host)
            except BaseException:
                await stream.aclose()
                raise
            if theirs is not None:
                await theirs(event, info)
            _raise_refusal(event, info)

        with self._pinned(request), self._traced(request, trace, connections):
            return await base.handle_async_request(request)


class PinningClient:
    """Base class that gives a client of httpx or httpx2 pinned transports, sync or async.

    ``_transport_type`` is the class of these transports.
    """

    _transport_type: type[_Transport]

    def __init__(
        self, pins: Pins, *, on_failure: Iterable[FailureHook] = (), **options: Any
    ) -> None:
        refuse_options(options, "verify", "cert")
        self._require_pinned("transport", options.get("transport"))
        for pattern, transport in (options.get("mounts") or {}).items():
            self._require_pinned(f"mounts[{pattern!r}]", transport)
        self.context = context_of(pins, on_failure)
        base: Any = super()
        base.__init__(verify=self.context, **options)

    def _init_transport(self, *args: Any, transport: Any = None, **options: Any) -> Any:
        if transport is not None:
            return transport
        return self._transport_type(self.context, **_without_tls(options))

    def _init_proxy_transport(self, *args: Any, **options: Any) -> Any:
        (proxy,) = args
        return self._transport_type(self.context, proxy=proxy, **_without_tls(options))

    def _require_pinned(self, name: str, transport: object) -> None:
        if transport is not None and not isinstance(transport, self._transport_type):
            raise refused_option(name, transport, instead=pinned_in_place(self._transport_type))


def _without_tls(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that a client passes to its transport, without ``verify`` and ``cert``.

    The pinned context replaces these two options.
    """
    return {name: value for name, value in options.items() if name not in {"verify", "cert"}}
