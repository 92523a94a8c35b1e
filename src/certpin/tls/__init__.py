"""Enforcement: ``PinnedSSLContext`` and the gate around the handshake."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from certpin.errors import HAS_TLS, TLSUnavailableError
from certpin.tls.enforcer import DEBUG_VARIABLE, DebugOverrideWarning
from certpin.tls.events import PinFailure

if TYPE_CHECKING or HAS_TLS:
    from certpin.tls.assertion import assert_pinned
    from certpin.tls.context import PinnedSSLContext
else:

    class PinnedSSLContext:
        """Used if Python has no TLS: pin files can be read and linted."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            raise TLSUnavailableError

    def assert_pinned(*args: Any, **kwargs: Any) -> NoReturn:
        """Raise ``TLSUnavailableError``."""
        raise TLSUnavailableError


__all__ = [
    "DEBUG_VARIABLE",
    "DebugOverrideWarning",
    "PinFailure",
    "PinnedSSLContext",
    "assert_pinned",
]
