"""Enforcement: ``PinnedSSLContext`` and the gate around the handshake."""

from __future__ import annotations

from certpin.tls.assertion import assert_pinned
from certpin.tls.context import PinnedSSLContext
from certpin.tls.enforcer import DEBUG_VARIABLE, DebugOverrideWarning
from certpin.tls.events import PinFailure

__all__ = [
    "DEBUG_VARIABLE",
    "DebugOverrideWarning",
    "PinFailure",
    "PinnedSSLContext",
    "assert_pinned",
]
