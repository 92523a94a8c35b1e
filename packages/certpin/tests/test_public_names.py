"""The public names of certpin: users must hear of one that comes or goes."""

from __future__ import annotations

import certpin

# A change here belongs into CHANGELOG.md.
PUBLIC_NAMES = [
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
    "TLSUnavailableError",
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


def test_the_public_names_are_these() -> None:
    assert certpin.__all__ == PUBLIC_NAMES


def test_the_public_names_are_sorted() -> None:
    assert sorted(PUBLIC_NAMES) == PUBLIC_NAMES


def test_every_public_name_is_there() -> None:
    missing = [name for name in PUBLIC_NAMES if not hasattr(certpin, name)]
    assert not missing


def test_dir_shows_the_public_names() -> None:
    assert set(PUBLIC_NAMES) <= set(dir(certpin))
