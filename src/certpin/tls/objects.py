"""``SSLSocket`` and ``SSLObject`` with what pinning adds: the verdict, and remembered sessions."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from certpin.pins import Verdict
    from certpin.tls.check import PinCheck

    _Base = ssl.SSLObject
else:
    _Base = object


class _Pinned(_Base):
    """What both have in common. ``_sslobj`` is a ``Gate`` until the chain was checked."""

    _check: PinCheck | None = None  # from the moment that there is a gate

    _context: ssl.SSLContext

    # What was decided about the chain; None before that, and where no pins hold.
    pin_verdict: Verdict | None = None

    @property
    def context(self) -> ssl.SSLContext:  # type: ignore[override]
        """The pinned context. It cannot be replaced: another one would not check."""
        return self._context

    @property
    def session(self) -> ssl.SSLSession | None:
        """The session, to be resumed with the same context, host and pin set; or ``None``."""
        session = super().session
        if session is not None and self._check is not None:
            self._check.remember(session)
        return session

    @session.setter
    def session(self, session: ssl.SSLSession | None) -> None:
        setter: Any = super(_Pinned, type(self)).session
        setter.fset(self, session)


# mypy sees attributes where Python has properties, and the other way round; the tests read them.
class PinnedSSLSocket(_Pinned, ssl.SSLSocket):  # type: ignore[misc, override]
    """An ``ssl.SSLSocket`` that moves no application byte before its pins were checked."""


class PinnedSSLObject(_Pinned, ssl.SSLObject):
    """An ``ssl.SSLObject`` that moves no application byte before its pins were checked."""
