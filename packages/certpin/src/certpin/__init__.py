"""Certificate pinning that survives rotation: one pin set, enforced in every client.

    pins = certpin.PinSet.load("pins.toml")
    context = certpin.PinnedSSLContext(pins)   # for every library that takes an ssl.SSLContext

The packages, in the order in which they use each other: ``x509`` reads certificates, ``pins``
compares them with the pins of a host, ``pinfile`` reads and writes ``pins.toml``, ``tls`` checks
the pins of each connection, and ``clients`` contains pinned clients for the HTTP libraries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from certpin._version import __version__

if TYPE_CHECKING:
    from certpin.errors import (
        CaseFileError,
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
        LogListError,
        MissingExtraError,
        PinError,
        PinFileError,
        PinMismatchError,
        PinParseError,
        PinSetExpiredError,
        ProbeError,
        StartTLSError,
        StoreError,
        TLSUnavailableError,
        TokenError,
        TransparencyError,
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
    from certpin.reports import Reporter
    from certpin.tls import DebugOverrideWarning, PinFailure, PinnedSSLContext, assert_pinned
    from certpin.x509 import Certificate, Chain

__all__ = [
    "CaseFileError",
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
    "LogListError",
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
    "TLSUnavailableError",
    "TokenError",
    "TransparencyError",
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

# Each name is imported at its first use, so that `certpin --version`, which imports this package,
# needs no TLS. Names that are not listed here are in certpin.errors.
_MODULES = {
    "certpin.pinfile": {"PinSet"},
    "certpin.pins": {
        *("HostPattern", "HostPin", "HostPolicy", "Pin", "TrustAnchors", "Verdict", "verify"),
    },
    "certpin.reports": {"Reporter"},
    "certpin.tls": {"DebugOverrideWarning", "PinFailure", "PinnedSSLContext", "assert_pinned"},
    "certpin.x509": {"Certificate", "Chain"},
}
_PACKAGES = {"errors", "pinfile", "pins", "tls", "x509"}


def __getattr__(name: str) -> Any:
    """Return a public name or a subpackage of ``certpin``, and import its module on first use.

    Python calls this function for a name that the package has not loaded yet.

    Raises:
        AttributeError: the package has no such public name.
    """
    from importlib import import_module

    if name in _PACKAGES:
        return import_module(f"certpin.{name}")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = next((each for each, names in _MODULES.items() if name in names), "certpin.errors")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
