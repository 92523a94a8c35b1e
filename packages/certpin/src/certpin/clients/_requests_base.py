"""Code that the adapters for requests and niquests share, without importing either library.

niquests began as a fork of requests, so their adapters have the same interface. ``PinningAdapter``
comes before the library's own adapter in a list of bases.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from certpin.clients._common import (
    admitted,
    both,
    context_of,
    port_in,
    refuse_bundle,
    refuse_options,
)
from certpin.clients._urllib3_base import pin_socks_manager
from certpin.errors import ConfigError, pin_error

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import NoReturn

    from certpin.clients._common import Pins
    from certpin.tls.failures import FailureHook


class NotCopied:
    """Base class of sessions and adapters that can't be copied or pickled.

    requests and niquests would make the copy without its pinned context, so it would check no pins.
    """

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        """Always raise ``ConfigError``, because a copy of this object would check no pins.

        ``copy.copy``, ``copy.deepcopy`` and ``pickle.dumps`` call this method to copy an object.
        ``protocol`` is the version of the pickle format; it is not used.
        """
        raise ConfigError(
            "a pinned session cannot be copied or pickled",
            key="pickle",
            fix="create one in each process, from the pin file",
        )


class PinningAdapter(NotCopied):
    """Base class that gives an adapter of requests or niquests pinned connection pools.

    ``_managers`` are the classes of the pinned pool managers, without and with a proxy. ``_error``
    is the library's ``SSLError``. ``_proxy_options`` names the options that the adapter passes to
    managers for proxies; the adapter stores the option ``NAME`` as its attribute ``_NAME``.
    """

    _managers: tuple[Any, Any]
    _error: Any
    _proxy_options: tuple[str, ...] = ()

    proxy_manager: Any
    _pool_connections: int
    _pool_maxsize: int
    _pool_block: bool

    def __init__(
        self, pins: Pins, *, on_failure: Iterable[FailureHook] = (), **options: Any
    ) -> None:
        self.context = context_of(pins, on_failure)
        base: Any = super()
        base.__init__(**options)

    def init_poolmanager(
        self, connections: int, maxsize: int, block: bool = False, **options: Any
    ) -> None:
        """Make the adapter's pinned pool manager. The library calls this method."""
        self._pool_connections = connections
        self._pool_maxsize = maxsize
        self._pool_block = block
        manager, _ = self._managers
        self.poolmanager = manager(
            self.context, num_pools=connections, maxsize=maxsize, block=block, **options
        )

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Return the pinned pool manager for a proxy. The library calls this method."""
        base: Any = super()
        direct, manager = self._managers
        if proxy.lower().startswith("socks"):
            socks = base.proxy_manager_for(proxy, ssl_context=self.context, **options)
            return pin_socks_manager(socks, direct._https)
        if proxy not in self.proxy_manager:
            self.proxy_manager[proxy] = manager(
                self.context,
                proxy,
                proxy_headers=base.proxy_headers(proxy),
                num_pools=self._pool_connections,
                maxsize=self._pool_maxsize,
                block=self._pool_block,
                **{name: getattr(self, f"_{name}") for name in self._proxy_options},
                **options,
            )
        return self.proxy_manager[proxy]

    @contextmanager
    def _pinned(self, request: Any, verify: object, cert: object) -> Iterator[None]:
        """Context manager: check the options and the URL of a request; the block then sends it.

        ``cert=`` raises ``ConfigError``, and so does a ``verify=`` other than ``True`` or a bundle
        that the environment names. If the pinned context refuses the connection, or the request is
        in clear text, raise an error that is both the library's ``SSLError`` and a ``PinError``.
        """
        refuse_bundle(verify)
        refuse_options({"cert": cert}, "cert")
        handled = sys.exception()
        try:
            url = urlsplit(str(request.url or ""))
            with admitted(self.context, url.scheme, url.hostname or "", port_in(url)):
                yield
        except OSError as exc:
            error = pin_error(exc, handled=handled)
            if error is None:
                raise
            raise both(self._error(str(error), request=request), error) from error.__cause__
