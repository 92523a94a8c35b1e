"""Sockets of libraries that replace Python's own: gevent's are supported, eventlet's are refused.

gevent's ``SSLSocket`` is no ``ssl.SSLSocket``, and it waits without blocking other greenlets. A
pinned one is based on it, so that ``gevent.monkey.patch_all()`` works before and after certpin is
imported. eventlet's sets its own class on every socket that it makes, past the context.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from certpin.errors import ConfigError
from certpin.tls.gate import Gate
from certpin.tls.objects import NoTLS, Pinned
from certpin.x509.stdlib import replaced_by

if TYPE_CHECKING:
    from certpin.tls.check import PinCheck


def green_class_for(sock: object) -> Any:
    """Return the pinned class for a socket of gevent, and ``None`` for a socket of Python.

    Raises:
        ConfigError: The socket is eventlet's, or another library replaced ``ssl.SSLSocket``.

    """
    if _is_of("gevent.socket", "socket", sock):
        return _gevent_class()
    culprit = "eventlet" if _is_of("eventlet.greenio", "GreenSocket", sock) else replaced_by()
    if culprit:
        raise ConfigError(
            f"{culprit.partition('.')[0]} replaced Python's sockets, and certpin cannot check "
            "the pins of such a socket",
            key="wrap_socket",
            fix="use gevent, threads or asyncio, or don't patch the modules socket and ssl",
        )
    return None


def _is_of(module: str, name: str, sock: object) -> bool:
    """Return True if ``sock`` is of this class. The module is loaded if there is such a socket."""
    kind = getattr(sys.modules.get(module), name, None)
    return kind is not None and isinstance(sock, kind)


@cache
def _gevent_class() -> type:
    theirs: Any = import_module("gevent.ssl")  # which brings no types

    class PinnedGeventSocket(Pinned, theirs.SSLSocket):  # type: ignore[misc]
        """A ``gevent.ssl.SSLSocket`` that moves no application byte before its pins were checked.

        The gate stays in ``_sslobj``. Where gevent puts ``None`` there, and sends clear text from
        then on, ``NoTLS`` takes its place (rule 3), except after ``unwrap``.
        """

        _tls: Any = None

        @property
        def _sslobj(self) -> Any:
            return self._tls

        @_sslobj.setter
        def _sslobj(self, value: Any) -> None:
            self._tls = NoTLS() if value is None else value

        @property
        def _check(self) -> PinCheck | None:  # type: ignore[override]
            return self._tls if isinstance(self._tls, Gate) else None

        def _real_connect(self, addr: Any, connect_ex: bool) -> Any:
            # Again: the attribute may have been set while the socket waited (rule 5).
            context: Any = self._context
            name = context._encode_hostname(self.server_hostname)
            self.server_hostname = name  # type: ignore[misc]  # in gevent it can be set
            return super()._real_connect(addr, connect_ex)

        def unwrap(self) -> Any:
            """As in gevent. Data sent after it is clear text, as the caller asked for."""
            plain = super().unwrap()
            self._tls = None
            return plain

    return PinnedGeventSocket
