"""Turn the exceptions of a failed update check into an ``UpdateError`` with an explanation.

The readers are the operators of an app. Most of these errors have two possible causes: an attack,
or a mistake in publishing. So each text describes the observation, and its fix names both causes.
"""

from __future__ import annotations

from contextlib import contextmanager
from ssl import SSLCertVerificationError
from typing import TYPE_CHECKING, NamedTuple

from tuf.api.exceptions import (
    BadVersionNumberError,
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    ExpiredMetadataError,
    LengthOrHashMismatchError,
    RepositoryError,
    SlowRetrievalError,
    UnsignedMetadataError,
)
from tuf.api.serialization import DeserializationError

from certpin.errors import (
    CertpinError,
    ConfigError,
    UnverifiedChainError,
    UpdateError,
    pin_error,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Explanation(NamedTuple):
    reason: str
    problem: str
    fix: str


# The first match is used, so subclasses come before their bases.
_EXPLANATIONS: tuple[tuple[type[Exception], _Explanation], ...] = (
    (
        UnsignedMetadataError,
        _Explanation(
            "signature",
            "the metadata is not signed by the keys that may sign it",
            "sign it with enough of the keys that the root names; if it is, an attacker "
            "without the keys made it",
        ),
    ),
    (
        BadVersionNumberError,
        _Explanation(
            "rollback",
            "the server went back to an older version, or skipped one",
            "publish with higher versions than before; if nothing was restored from a backup, "
            "an attacker replays old files",
        ),
    ),
    (
        ExpiredMetadataError,
        _Explanation(
            "expired",
            "the newest that the server shows is past its date",
            "renew it (certpin publish sign, then push) and check this machine's clock; if the "
            "server has newer files, an attacker withholds them",
        ),
    ),
    (
        LengthOrHashMismatchError,
        _Explanation(
            "mismatch",
            "a file is not the one that the signed metadata names",
            "push again, and empty the CDN's cache; if that does not help, an attacker mixes files",
        ),
    ),
    (
        DeserializationError,
        _Explanation(
            "unreadable", "the metadata cannot be read", "push again: certpin publish push"
        ),
    ),
    (
        RepositoryError,
        _Explanation("refused", "the metadata is not right", "publish again, and push"),
    ),
    (
        DownloadLengthMismatchError,
        _Explanation(
            "too-long",
            "the server sends more than such a file may have",
            "check the server at this address; UpdateSettings(limits=…) raises the limits",
        ),
    ),
    (
        SlowRetrievalError,
        _Explanation(
            "slow",
            "the server is too slow",
            "check the network; UpdateSettings(timing=…) has the times that are waited",
        ),
    ),
    (
        DownloadHTTPError,
        _Explanation(
            "http", "the server answers with an error", "check the address, and push again"
        ),
    ),
    (
        DownloadError,
        _Explanation("network", "the server cannot be reached", "check network and address"),
    ),
    (
        OSError,
        _Explanation(
            "storage",
            "the folder of the cache cannot be used",
            "give the app a separate folder that it may write to, with room on the disk",
        ),
    ),
)
_UNVERIFIED = _Explanation(
    "certificate",
    "the certificate of the updates' server does not verify",
    "check this machine's clock; renew the certificate, or name its authority (trust, in the pin "
    "file); if it is valid now, an attacker intercepts the connection",
)
_UNKNOWN = _Explanation("unexpected", "the update failed with an unexpected error", "report it")


@contextmanager
def update_errors() -> Iterator[None]:
    """Context manager: turn every exception of the ``with`` block into an ``UpdateError``.

    That includes unexpected exceptions, because tuf and securesystemslib parse bytes from attackers
    and may raise anything.
    """
    try:
        yield
    except UpdateError:
        raise
    except Exception as exc:
        raise as_update_error(exc) from exc


def as_update_error(exc: Exception) -> UpdateError:
    """Return an ``UpdateError`` with a reason, a problem and a fix that explain an exception."""
    refused = pin_error(exc)
    if isinstance(refused, UnverifiedChainError):
        problem = f"{_UNVERIFIED.problem}: {_cause_text(refused)}"
        return UpdateError(problem, reason=_UNVERIFIED.reason, fix=_UNVERIFIED.fix)
    if refused is not None:
        return _channel(refused)
    if isinstance(exc, CertpinError):
        return _content(exc)
    explanation = next(
        (explanation for kind, explanation in _EXPLANATIONS if isinstance(exc, kind)), _UNKNOWN
    )
    if isinstance(exc.__cause__, SSLCertVerificationError):
        explanation = _UNVERIFIED
    return UpdateError(
        f"{explanation.problem}: {_cause_text(exc)}", reason=explanation.reason, fix=explanation.fix
    )


def _channel(refused: CertpinError) -> UpdateError:
    return UpdateError(
        f"the server of the updates is not the pinned one: {refused.problem}",  # type: ignore[attr-defined]
        reason="pins",
        fix=refused.fix,
    )


def _content(exc: CertpinError) -> UpdateError:
    said = exc.args[0] if isinstance(exc, ConfigError) else exc
    return UpdateError(
        f"the pin set was signed, and must not be used: {said}",
        reason="content",
        fix="fix pins.toml, raise its version, and publish it",
    )


def _cause_text(exc: Exception) -> str:
    """Return the first line of an exception's text; if the text is empty, that of its cause."""
    while exc.__cause__ is not None and isinstance(exc.__cause__, Exception) and not str(exc):
        exc = exc.__cause__
    text = (str(exc) or type(exc).__name__).splitlines()[0]
    return text if len(text) <= 300 else text[:299] + "…"
