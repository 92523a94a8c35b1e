"""Pins for ``urllib.request``. The rest of the standard library needs no special client.

    opener(pins).open("https://api.bank.example/")

If the pinned context refuses a connection, ``open`` raises an error that is both a
``urllib.error.URLError`` and a ``PinError``; its ``reason`` is the ``PinError``, too.
``http.client``, ``smtplib``, ``imaplib``, ``ftplib`` and ``asyncio`` take a ``PinnedSSLContext``;
docs/guides/python-clients.md has an example of each.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from http.client import HTTPSConnection
from typing import TYPE_CHECKING, Any
from urllib import request
from urllib.error import URLError
from urllib.parse import urlsplit

from certpin.clients._common import admitted, both, context_of, port_in
from certpin.errors import ConfigError, PinError, pin_error
from certpin.tls import assert_pinned

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from certpin.clients._common import Pins
    from certpin.tls import PinnedSSLContext
    from certpin.tls.failures import FailureHook

_MAX_SCHEME = 16  # characters of a proxy's scheme in an error


def opener(
    pins: Pins,
    *,
    proxies: dict[str, str] | None = None,
    on_failure: Iterable[FailureHook] = (),
) -> request.OpenerDirector:
    """Return an opener for ``https://`` URLs that enforces pins.

    Unlike ``urllib.request.build_opener()`` it opens no ``file:``, ``ftp:`` and ``data:`` URLs. It
    opens ``http://`` only if the context is not strict, for hosts without enforced pins.

    Args:
        pins: a pin set, or a pinned context.
        proxies: proxies by scheme, as for ``urllib.request.ProxyHandler``; by default those of the
            environment. Requests pass through a tunnel (CONNECT). A request that would use a proxy
            with another scheme than ``http://`` raises ``ConfigError``, because ``urllib`` can't
            connect to it with TLS.
        on_failure: functions that are called for each failure. Allowed only with a pin set.

    Raises:
        ConfigError: ``on_failure`` was given with a context, which has its own hooks.
    """
    context = context_of(pins, on_failure)
    director = request.OpenerDirector()
    for handler in (
        _ProxyHandler(proxies),
        request.UnknownHandler(),
        request.HTTPDefaultErrorHandler(),
        request.HTTPRedirectHandler(),
        request.HTTPErrorProcessor(),
        _PinnedHandler(context),
        _ClearTextHandler(context),
    ):
        director.add_handler(handler)
    return director


class _ProxyHandler(request.ProxyHandler):
    def proxy_open(self, req: request.Request, proxy: str, type: str) -> Any:  # noqa: A002
        """Let a request use a proxy, but not one that needs more than HTTP in clear text.

        ``urllib`` calls this method for a request that goes through a proxy. Without this check, it
        would ignore the scheme of the proxy, and send the password of an ``https://`` proxy, and
        the name of the host, without TLS.

        Raises:
            ConfigError: the scheme of the proxy is not ``http``.
        """
        scheme, separator, _ = proxy.partition("://")
        is_bypassed = req.host and request.proxy_bypass(req.host)
        if separator and scheme.lower() != "http" and not is_bypassed:
            raise ConfigError(
                f"urllib.request can't use a proxy with the scheme {scheme[:_MAX_SCHEME]!r}",
                key="proxies",
                fix=f"name an http:// proxy (also in {type.upper()}_PROXY), or use the client for "
                "httpx, requests, niquests, aiohttp or urllib3",
            )
        return super().proxy_open(req, proxy, type)


class _PinnedConnection(HTTPSConnection):
    def connect(self) -> None:
        """Connect to the host, and require that the pinned context checked the connection.

        Raises:
            UncheckedConnectionError: the pinned context did not check the connection (rule 14 of
                docs/concepts/matching.md).
        """
        super().connect()
        context: Any = self._context  # type: ignore[attr-defined]  # typeshed leaves it out
        try:
            host = getattr(self, "_tunnel_host", None) or self.host
            assert_pinned(self.sock, host, strict=context.strict)
        except PinError:
            self.close()
            raise


class _PinnedHandler(request.HTTPSHandler):
    def __init__(self, context: PinnedSSLContext) -> None:
        super().__init__(context=context)
        self._pinned_context = context

    def https_open(self, req: request.Request) -> Any:
        with _pinned(self._pinned_context, req):
            return self.do_open(_PinnedConnection, req, context=self._pinned_context)


class _ClearTextHandler(request.HTTPHandler):
    def __init__(self, context: PinnedSSLContext) -> None:
        super().__init__()
        self._pinned_context = context

    def http_open(self, req: request.Request) -> Any:
        with _pinned(self._pinned_context, req):
            return super().http_open(req)


@contextmanager
def _pinned(context: PinnedSSLContext, req: request.Request) -> Iterator[None]:
    url, handled = urlsplit(req.full_url), sys.exception()
    try:
        with admitted(context, url.scheme, url.hostname or "", port_in(url)):
            yield
    except (URLError, PinError) as exc:
        error = pin_error(exc, handled=handled)
        if error is None:
            raise
        raise both(URLError(error), error) from error.__cause__
