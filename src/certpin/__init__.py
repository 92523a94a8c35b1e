"""Certificate pinning that survives rotation: one pin set, enforced in every client.

    pins = certpin.PinSet.load("pins.toml")
    context = certpin.PinnedSSLContext(pins)   # for whatever takes an ssl.SSLContext

A pin travels through the packages in this order: ``x509`` reads what a server shows, ``pins``
decides, ``pinfile`` keeps, ``tls`` enforces, ``clients`` bring it to each library.
"""

from __future__ import annotations

from certpin._version import __version__
from certpin.errors import (
    CertificateParseError,
    CertpinError,
    ConfigError,
    DialError,
    FormatError,
    HandshakeError,
    HostError,
    InputError,
    InsecureRequestError,
    JournalError,
    KeyParseError,
    PinError,
    PinFileError,
    PinMismatchError,
    PinParseError,
    PinSetExpiredError,
    ProbeError,
    StartTLSError,
    StoreError,
    TokenError,
    UnpinnedHostError,
    UnverifiedSessionError,
    UpdateError,
    WeakenedContextError,
    pin_error,
)
from certpin.pinfile import PinSet
from certpin.pins import HostPattern, HostPin, HostPolicy, Pin, TrustAnchors, Verdict, verify
from certpin.tls import DebugOverrideWarning, PinFailure, PinnedSSLContext
from certpin.x509 import Certificate, Chain

__all__ = [
    "Certificate",
    "CertificateParseError",
    "CertpinError",
    "Chain",
    "ConfigError",
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
    "StartTLSError",
    "StoreError",
    "TokenError",
    "TrustAnchors",
    "UnpinnedHostError",
    "UnverifiedSessionError",
    "UpdateError",
    "Verdict",
    "WeakenedContextError",
    "__version__",
    "pin_error",
    "verify",
]
