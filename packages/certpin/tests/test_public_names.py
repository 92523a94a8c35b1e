"""The public names of certpin are exactly those listed here: users must learn of each change."""

from __future__ import annotations

import certpin
from certpin import lab

# A change here needs a line in CHANGELOG.md.
PUBLIC_NAMES = [
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


def test_the_public_names_are_the_listed_ones() -> None:
    assert certpin.__all__ == PUBLIC_NAMES


def test_the_public_names_are_sorted() -> None:
    assert sorted(PUBLIC_NAMES) == PUBLIC_NAMES


def test_every_public_name_can_be_imported() -> None:
    missing = [name for name in PUBLIC_NAMES if not hasattr(certpin, name)]
    assert not missing


def test_dir_shows_the_public_names() -> None:
    assert set(PUBLIC_NAMES) <= set(dir(certpin))


LAB_NAMES = [
    "Authority",
    "CannotServeError",
    "Command",
    "Identity",
    "LabError",
    "LabServer",
    "Result",
    "Run",
    "load_cases",
    "prove",
]


def test_the_public_names_of_the_lab_are_the_listed_ones() -> None:
    assert lab.__all__ == LAB_NAMES
    assert not [name for name in LAB_NAMES if not hasattr(lab, name)]
    assert not hasattr(lab, "load_case")
