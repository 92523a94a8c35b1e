"""Every error that certpin raises.

    CertpinError
    ├── InputError (ValueError)          bytes or text that are not what they should be
    │   ├── CertificateParseError        not a certificate, chain, CSR (strict DER, RFC 5280)
    │   ├── KeyParseError                not a key, or the passphrase is wrong or missing
    │   │   └── TokenError               the same on a PKCS#11 token: its URI, its PIN, its key
    │   ├── PinParseError                not a pin
    │   ├── FormatError                  not the file of another platform that it is said to be
    │   └── HostError                    not a host name, address or pattern
    ├── ConfigError                      a pin set that must not be used
    │   └── PinFileError                 the same, with file, line and key
    │       └── JournalError             a line of the rotation's journal that is no event
    ├── PinError (ssl.SSLCertVerificationError)   a connection was refused
    │   ├── PinMismatchError             no certificate of the verified chain is pinned
    │   ├── PinSetExpiredError           the pins are older than they may be
    │   ├── UnpinnedHostError            strict mode, and no policy covers this host
    │   ├── InsecureRequestError         the request would leave the pinned connection
    │   ├── WeakenedContextError         chain, hostname or date checks were switched off
    │   ├── ContextCopyError             a library began to copy the context, without its pins
    │   ├── UnverifiedChainError         OpenSSL refused the chain of a host with a policy
    │   ├── UnverifiedSessionError       a resumed session that was not verified here
    │   └── UncheckedConnectionError     no pinned context checked it (``certpin.assert_pinned``)
    ├── TLSUnavailableError              this Python has no TLS (Pyodide)
    ├── ProbeError                       a server could not be asked
    │   ├── DialError                    no connection: name, route, refused, time-out
    │   ├── StartTLSError                the server would not, or must not, begin TLS
    │   └── HandshakeError               TLS failed before there was a chain to read
    ├── MissingExtraError (ModuleNotFoundError)   a library that an extra of certpin brings
    ├── StoreError                       the watch's database is away, full, damaged, or another's
    └── UpdateError                      a newer pin set could not be had, or must not be trusted

A ``PinError`` is an ``ssl.SSLCertVerificationError``, so that every client library treats
it as it treats a certificate failure: no retry in clear text, its own error type around it.
``certpin.pin_error()`` finds it inside whatever the library raised.

Each error says in ``fix`` what to do next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

try:
    import _ssl  # noqa: F401  # whether there is OpenSSL: in a browser (Pyodide) there is none
except ImportError:
    HAS_TLS = False
else:
    HAS_TLS = True
try:
    from ssl import SSLCertVerificationError as _CertificateError
except ImportError:  # no module ssl, or a stub

    class _CertificateError(OSError, ValueError):  # type: ignore[no-redef]
        """Replaces the class of ``ssl``, and has the same bases."""


if TYPE_CHECKING:
    from pathlib import Path

    from certpin.pins.verdict import Verdict

# The code that OpenSSL keeps for refusals by the application (X509_V_ERR_APPLICATION_VERIFICATION,
# openssl/x509_vfy.h), and the reason that its errors carry.
_APPLICATION_VERIFICATION = 50
_REASON = "CERTIFICATE_VERIFY_FAILED"


class CertpinError(Exception):
    """The root of the tree. ``fix`` says what to do next, or is empty."""

    fix: str = ""


class InputError(CertpinError, ValueError):
    """Bytes or text that are not what they should be."""

    def __init__(self, problem: str, *, fix: str = "") -> None:
        super().__init__(f"{problem} ({fix})" if fix else problem)
        self.problem = problem
        self.fix = fix

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), (self.problem,), {"fix": self.fix})


class CertificateParseError(InputError):
    """Not a certificate, a chain or a CSR in strict DER (RFC 5280, RFC 2986, X.690)."""


class KeyParseError(InputError):
    """Not a key that can be read, or its passphrase is wrong or missing."""


class TokenError(KeyParseError):
    """A key on a PKCS#11 token that cannot be used: its URI, the token, or the PIN is wrong.

    No PIN is ever in it.
    """


class PinParseError(InputError):
    """Not a pin in any of the spellings that certpin reads."""


class FormatError(InputError):
    """Not a file of the platform that it is said to be a file of."""


class HostError(InputError):
    """Not a host name, an IP address or a pattern of hosts."""


class ConfigError(CertpinError):
    """A pin set that must not be used. ``key`` names the setting."""

    def __init__(self, problem: str, *, key: str = "", fix: str = "") -> None:
        where = f"{key}: " if key else ""
        super().__init__(where + problem + (f"\n  fix: {fix}" if fix else ""))
        self.problem = problem
        self.key = key
        self.fix = fix

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), (self.problem,), {"key": self.key, "fix": self.fix})


class PinFileError(ConfigError):
    """A pin file that must not be used. ``path``, ``line`` (from 1) and ``key`` say where."""

    def __init__(
        self,
        problem: str,
        *,
        path: str | Path = "<text>",
        line: int | None = None,
        key: str = "",
        fix: str = "",
    ) -> None:
        place = f"{path}:{line}" if line else str(path)
        super().__init__(problem, key=key, fix=fix)
        self.args = (f"{place}: {self.args[0]}",)
        self.path = str(path)
        self.line = line

    def __reduce__(self) -> tuple[object, ...]:
        keywords = {"path": self.path, "line": self.line, "key": self.key, "fix": self.fix}
        return _rebuild, (type(self), (self.problem,), keywords)


class JournalError(PinFileError):
    """A journal beside a pin file that cannot be read; ``line`` (from 1) says where."""


class PinError(CertpinError, _CertificateError):
    """A connection was refused. No application byte was sent or read on it.

    ``host`` is the normalised host (RFC 5890 A-labels), or an empty string where none was given.
    """

    def __init__(self, problem: str, *, host: str = "", fix: str = "") -> None:
        message = problem + (f"\n  fix: {fix}" if fix else "")
        super().__init__(1, message)
        self.problem = problem
        self.host = host
        self.fix = fix
        self.reason = _REASON
        self.library = "SSL"
        self.verify_code = _APPLICATION_VERIFICATION
        self.verify_message = problem.splitlines()[0] if problem else ""

    def __str__(self) -> str:
        return str(self.args[1])

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), (self.problem,), {"host": self.host, "fix": self.fix})


class _VerdictError(PinError):
    """A refusal that a verdict explains."""

    def __init__(self, problem: str, *, verdict: Verdict, host: str = "", fix: str = "") -> None:
        super().__init__(problem, host=host, fix=fix)
        self.verdict = verdict

    def __reduce__(self) -> tuple[object, ...]:
        keywords = {"verdict": self.verdict, "host": self.host, "fix": self.fix}
        return _rebuild, (type(self), (self.problem,), keywords)


class PinMismatchError(_VerdictError):
    """No certificate of the verified chain carries a pinned key.

    ``verdict`` holds the chain and the policy, for a log or a report.
    """


class PinSetExpiredError(_VerdictError):
    """The pins of this host are past their date, and the policy fails closed."""


class UnpinnedHostError(PinError):
    """Strict mode: no policy of the pin set covers this host."""


class InsecureRequestError(PinError):
    """The request, or the redirect, would leave the pinned connection: ``http://``, say."""


class WeakenedContextError(PinError):
    """Chain, hostname or date checks were switched off, so that no pin could be trusted."""


class ContextCopyError(PinError):
    """A library asked the pinned context for its roots or counts, to build a context without pins.

    urllib3-future does so for QUIC, rtls and utls. Not an ``AttributeError``: it takes one as "this
    context has no roots", and then goes on with the platform's.
    """


class UnverifiedChainError(PinError):
    """OpenSSL refused the chain of a host that has a policy, before any pin was compared.

    ``verify_code`` and ``verify_message`` are OpenSSL's, and so is the error that is its cause.
    ``issuer`` is the name of the authority that the served chain ends at (nothing about it is
    proven), or empty if it can't be read. ``anchors`` are the names of the trust anchors of the
    pin file (``trust = FILE``): the only ones that may vouch for the host. It is empty if those of
    the platform may.
    """

    def __init__(  # noqa: PLR0913  # keywords: each is an attribute
        self,
        problem: str,
        *,
        host: str = "",
        fix: str = "",
        code: int = _APPLICATION_VERIFICATION,
        message: str = "",
        issuer: str = "",
        anchors: tuple[str, ...] = (),
    ) -> None:
        super().__init__(problem, host=host, fix=fix)
        self.verify_code = code
        if message:
            self.verify_message = message
        self.issuer = issuer
        self.anchors = anchors

    def __reduce__(self) -> tuple[object, ...]:
        keywords = {
            "host": self.host,
            "fix": self.fix,
            "code": self.verify_code,
            "message": self.verify_message,
            "issuer": self.issuer,
            "anchors": self.anchors,
        }
        return _rebuild, (type(self), (self.problem,), keywords)


class UnverifiedSessionError(PinError):
    """The server resumed a session whose chain this context never verified for this host."""


class UncheckedConnectionError(PinError):
    """``assert_pinned``: no pinned context checked this connection, or not for this host."""


class TLSUnavailableError(CertpinError):
    """Python was built without TLS, so that no connection can be pinned."""

    fix = "use a Python with OpenSSL; reading and linting pin files needs none"

    def __init__(self) -> None:
        super().__init__(
            f"this Python has no TLS: it was built without the module _ssl\n  fix: {self.fix}"
        )

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), ()


class ProbeError(CertpinError):
    """A server could not be asked. ``host`` and ``port`` say which."""

    def __init__(self, problem: str, *, host: str, port: int, fix: str = "") -> None:
        super().__init__(f"{host}:{port}: {problem}" + (f"\n  fix: {fix}" if fix else ""))
        self.problem = problem
        self.host = host
        self.port = port
        self.fix = fix

    def __reduce__(self) -> tuple[object, ...]:
        keywords = {"host": self.host, "port": self.port, "fix": self.fix}
        return _rebuild, (type(self), (self.problem,), keywords)


class DialError(ProbeError):
    """There was no connection: unknown name, no route, refused, or too slow."""


class StartTLSError(ProbeError):
    """The server would not begin TLS, or must not be believed when it does."""


class HandshakeError(ProbeError):
    """TLS failed before there was a chain to read."""


class MissingExtraError(CertpinError, ModuleNotFoundError):
    """A part of certpin needs a library that is not installed. ``extra`` brings it.

    It is a ``ModuleNotFoundError``, so that ``try … except ImportError`` works as usual.
    """

    def __init__(self, part: str, extra: str, *, name: str | None = None) -> None:
        fix = f"pip install 'certpin[{extra}]'"
        super().__init__(f"{part} needs the package {name or extra}; fix: {fix}", name=name)
        self.part = part
        self.extra = extra
        self.fix = fix

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), (self.part, self.extra), {"name": self.name})


class StoreError(CertpinError):
    """The watch's database cannot be used now: nothing was written. No password is ever in it.

    ``reason`` is one word of those that docs/watch-operations.md lists, for programs.
    """

    def __init__(self, problem: str, *, reason: str = "", fix: str = "") -> None:
        super().__init__(problem + (f"\n  fix: {fix}" if fix else ""))
        self.problem = problem
        self.reason = reason
        self.fix = fix

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), (self.problem,), {"reason": self.reason, "fix": self.fix})


class UpdateError(CertpinError):
    """A newer pin set could not be had, or must not be trusted. What is in force stays in force.

    ``reason`` is one word of those that docs/failures.md lists, for programs.
    """

    def __init__(self, problem: str, *, reason: str = "", fix: str = "") -> None:
        super().__init__(problem + (f"\n  fix: {fix}" if fix else ""))
        self.problem = problem
        self.reason = reason
        self.fix = fix

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), (self.problem,), {"reason": self.reason, "fix": self.fix})


def pin_error(exc: BaseException | None) -> PinError | None:
    """The ``PinError`` inside whatever a client library raised; ``None`` if there is none.

    Looks through causes, contexts, arguments, groups and the fields in which libraries wrap errors.
    """
    waiting: list[object] = [exc]
    seen: set[int] = set()
    while waiting:
        current = waiting.pop(0)
        if isinstance(current, PinError):
            return current
        if isinstance(current, BaseException) and id(current) not in seen:
            seen.add(id(current))
            waiting += _inside(current)
    return None


def _inside(exc: BaseException) -> list[object]:
    fields = (getattr(exc, name, None) for name in ("reason", "certificate_error", "os_error"))
    group = exc.exceptions if isinstance(exc, BaseExceptionGroup) else ()
    return [exc.__cause__, exc.__context__, *exc.args, *fields, *group]


def _rebuild(
    kind: type[CertpinError], args: tuple[object, ...], keywords: dict[str, object]
) -> CertpinError:
    """Make an error again from its parts, so that errors survive a process boundary."""
    return kind(*args, **keywords)
