"""Certificate pinning that survives rotation: one pin set, enforced in every client.

    pins = certpin.PinSet.load("pins.toml")
    context = certpin.PinnedSSLContext(pins)   # for whatever takes an ssl.SSLContext

A pin travels through the packages in this order: ``x509`` reads what a server shows, ``pins``
decides, ``pinfile`` keeps, ``tls`` enforces, ``clients`` bring it to each library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from certpin._version import __version__
from certpin.errors import (
    CertificateParseError,
    CertpinError,
    ConfigError,
    ContextCopyError,
    DialError,
    FormatError,
    HandshakeError,
    HostError,
    InputError,
    InsecureRequestError,
    JournalError,
    KeyParseError,
    MissingExtraError,
    PinError,
    PinFileError,
    PinMismatchError,
    PinParseError,
    PinSetExpiredError,
    ProbeError,
    StartTLSError,
    StoreError,
    TokenError,
    UncheckedConnectionError,
    UnpinnedHostError,
    UnverifiedChainError,
    UnverifiedSessionError,
    UpdateError,
    WeakenedContextError,
    pin_error,
)
from certpin.pinfile import PinSet
from certpin.pins import HostPattern, HostPin, HostPolicy, Pin, TrustAnchors, Verdict, verify
from certpin.tls import DebugOverrideWarning, PinFailure, PinnedSSLContext, assert_pinned
from certpin.x509 import Certificate, Chain

if TYPE_CHECKING:
    from certpin.reports import Reporter

__all__ = [
    "Certificate",
    "CertificateParseError",
    "CertpinError",
    "Chain",
    "ConfigError",
    "ContextCopyError",
    "DebugOverrideWarning",
    "DialError",
    "FormatError",
    "HandshakeError",
    "HostError",
    "HostPattern",
    "HostPin",
    "HostPolicy",
    "InputError",
    "InsecureRequestError",
    "JournalError",
    "KeyParseError",
    "MissingExtraError",
    "Pin",
    "PinError",
    "PinFailure",
    "PinFileError",
    "PinMismatchError",
    "PinParseError",
    "PinSet",
    "PinSetExpiredError",
    "PinnedSSLContext",
    "ProbeError",
    "Reporter",
    "StartTLSError",
    "StoreError",
    "TokenError",
    "TrustAnchors",
    "UncheckedConnectionError",
    "UnpinnedHostError",
    "UnverifiedChainError",
    "UnverifiedSessionError",
    "UpdateError",
    "Verdict",
    "WeakenedContextError",
    "__version__",
    "assert_pinned",
    "pin_error",
    "verify",
]


def __getattr__(name: str) -> Any:
    """Load the reporter when it is asked for: who reports nothing needs no HTTP client."""
    if name != "Reporter":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from certpin.reports import Reporter

    return Reporter


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
