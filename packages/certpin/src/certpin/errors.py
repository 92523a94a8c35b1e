"""Every error that certpin raises, except those of the lab.

    CertpinError
    ├── InputError (ValueError)          invalid bytes or text
    │   ├── CertificateParseError        not a certificate, chain, CSR (strict DER, RFC 5280)
    │   ├── KeyParseError                not a key, or the passphrase is wrong or missing
    │   │   └── TokenError               the same on a PKCS#11 token or in a key service
    │   ├── PinParseError                not a pin
    │   ├── FormatError                  not in the export format that the user named
    │   ├── LogListError                 not a list of Certificate Transparency logs
    │   └── HostError                    not a host name, address or pattern
    ├── ConfigError                      an unsafe pin set, or an invalid setting
    │   └── PinFileError                 the same, with file, line and key
    │       ├── CaseFileError            an invalid attack case that a user defined for the lab
    │       └── JournalError             an invalid line in the rotation's journal
    ├── PinError (ssl.SSLCertVerificationError)   a connection was refused
    │   ├── PinMismatchError             no certificate of the verified chain is pinned
    │   ├── PinSetExpiredError           the pins have expired
    │   ├── TransparencyError            too few logs promise to publish the certificate (CT)
    │   ├── UnpinnedHostError            strict mode, and no policy covers this host
    │   ├── InsecureRequestError         the request would be sent in clear text
    │   ├── WeakenedContextError         chain, hostname or date checks were switched off
    │   ├── ContextCopyError             a library tried to copy the context without its pins
    │   ├── UnverifiedChainError         OpenSSL refused the chain of a host with a policy
    │   ├── UnverifiedSessionError       a resumed session that was not verified here
    │   └── UncheckedConnectionError     no pinned context checked it (``certpin.assert_pinned``)
    ├── TLSUnavailableError              this Python has no TLS (Pyodide)
    ├── ProbeError                       a server could not be probed
    │   ├── DialError                    no connection: name, route, refused, time-out
    │   ├── StartTLSError                the server did not start TLS, or not safely
    │   └── HandshakeError               TLS failed before the server sent its chain
    ├── MissingExtraError (ModuleNotFoundError)   a library is missing: an extra installs it
    ├── StoreError                       the monitoring service's database can't be used
    └── UpdateError                      a newer pin set was not available, or not trusted

A ``PinError`` is an ``ssl.SSLCertVerificationError``, so every client library handles it as a
certificate failure: no retry in clear text, wrapped in the library's error.
``certpin.pin_error()`` finds it inside the error that the library raised.

``certpin.lab`` has two more errors (``certpin.lab.case``): ``LabError`` and ``CannotServeError``.

``fix`` of each error says what to do next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

try:
    import _ssl  # noqa: F401  # Python without OpenSSL has no such module (Pyodide in a browser)
except ImportError:
    HAS_TLS = False
else:
    HAS_TLS = True
try:
    from ssl import SSLCertVerificationError as _CertificateError
except ImportError:  # no module ssl, or a stub

    class _CertificateError(OSError, ValueError):  # type: ignore[no-redef]
        """A base class for ``PinError`` in a Python without TLS, which has no module ``ssl``.

        It has the same base classes as the missing ``ssl.SSLCertVerificationError``.
        """


if TYPE_CHECKING:
    from pathlib import Path


# OpenSSL's code for refusals by the application (X509_V_ERR_APPLICATION_VERIFICATION,
# openssl/x509_vfy.h), and the reason in its errors.
_APPLICATION_VERIFICATION = 50
_REASON = "CERTIFICATE_VERIFY_FAILED"


class CertpinError(Exception):
    """The base class of every error of certpin.

    The attribute ``fix`` is advice for the user about how to solve the problem; it may be empty.
    """

    fix: str = ""


class InputError(CertpinError, ValueError):
    """Bytes or a text are invalid. Also the base class of more specific errors about input."""

    def __init__(self, problem: str, *, fix: str = "") -> None:
        super().__init__(f"{problem} ({fix})" if fix else problem)
        self.problem = problem
        self.fix = fix

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), (self.problem,), {"fix": self.fix})


class CertificateParseError(InputError):
    """The bytes are not a certificate, chain or CSR in strict DER (RFC 5280, RFC 2986, X.690)."""


class KeyParseError(InputError):
    """The bytes are not a readable key, or the key's passphrase is wrong or missing."""


class TokenError(KeyParseError):
    """A key on a PKCS#11 token or in a cloud key service can't be used.

    The URI, the token or service, the PIN or the credentials are wrong. The message never contains
    a PIN or a credential.
    """


class PinParseError(InputError):
    """The text is not a pin in any of the notations that certpin reads."""


class FormatError(InputError):
    """The file is not in the format that the user named, or no pin file can express its content."""


class LogListError(InputError):
    """The file is not a list of Certificate Transparency logs in Google's v3 JSON."""


class HostError(InputError):
    """The text is not a host name, an IP address or a host pattern."""


class ConfigError(CertpinError):
    """A pin set is unsafe, or a setting is invalid.

    ``key`` names the setting, and ``host`` the host pattern; both may be empty.
    """

    def __init__(self, problem: str, *, key: str = "", fix: str = "", host: str = "") -> None:
        prefix = f"{key}: " if key else ""
        super().__init__(prefix + problem + (f"\n  fix: {fix}" if fix else ""))
        self.problem = problem
        self.key = key
        self.fix = fix
        self.host = host

    def __reduce__(self) -> tuple[object, ...]:
        keywords = {"key": self.key, "fix": self.fix, "host": self.host}
        return _rebuild, (type(self), (self.problem,), keywords)


class PinFileError(ConfigError):
    """A pin file is invalid or unsafe, or a file to import has an unsafe policy.

    ``path``, ``line`` (from 1), ``key`` and ``host`` locate the error.
    """

    def __init__(
        self,
        problem: str,
        *,
        path: str | Path = "<text>",
        line: int | None = None,
        key: str = "",
        fix: str = "",
        host: str = "",
    ) -> None:
        place = f"{path}:{line}" if line else str(path)
        super().__init__(problem, key=key, fix=fix, host=host)
        self.args = (f"{place}: {self.args[0]}",)
        self.path = str(path)
        self.line = line

    def __reduce__(self) -> tuple[object, ...]:
        keywords = {"path": self.path, "line": self.line, "key": self.key, "fix": self.fix}
        return _rebuild, (type(self), (self.problem,), {**keywords, "host": self.host})


class CaseFileError(PinFileError):
    """A file in which a user defines attack cases for the lab is invalid.

    The lab is the set of test servers that attack a client. ``path``, ``line`` (from 1) and ``key``
    locate the error.
    """


class JournalError(PinFileError):
    """The rotation journal beside a pin file is invalid.

    The journal is a file of JSON lines that lists the steps of key rotations. ``line`` (from 1) is
    the number of the invalid line, or ``None``.
    """


class PinError(CertpinError, _CertificateError):
    """A connection was refused. No application byte was sent or read on it.

    ``host`` is the normalised host (RFC 5890 A-labels), or empty if the connection named no host.
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


class RefusalVerdict(Protocol):
    """The result of the pin check of a refused connection: decision, reason, policy and chain.

    Errors for connections that the pin check refused have such an object in their attribute
    ``verdict``; other kinds of ``PinError`` don't have the attribute. The class is a protocol that
    ``certpin.pins.Verdict`` implements, because ``certpin.errors`` imports no other module of
    certpin.
    """

    @property
    def decision(self) -> str:
        """The decision about the connection: always ``refuse``."""

    @property
    def reason(self) -> str:
        """The reason for which the connection was refused.

        ``mismatch``, ``expired``, ``compromised-key``, ``too-few-scts`` or ``no-chain``.
        """

    @property
    def policy(self) -> Any:
        """The policy of the host, a ``certpin.HostPolicy``."""

    @property
    def chain(self) -> Any:
        """The verified chain, a ``certpin.x509.Chain``, or None."""

    @property
    def certificate(self) -> Any:
        """The ``certpin.x509.Certificate`` with the compromised key, or the one that a pin matched.

        None if there is neither.
        """

    @property
    def transparency(self) -> Any:
        """The result for each SCT, if the reason is ``too-few-scts``; None otherwise."""


class _VerdictError(PinError):
    """The base class of the errors for connections that the pin check refused.

    ``verdict`` is the result of that check: decision, reason, policy and chain.
    """

    def __init__(
        self, problem: str, *, verdict: RefusalVerdict, host: str = "", fix: str = ""
    ) -> None:
        super().__init__(problem, host=host, fix=fix)
        self.verdict = verdict

    def __reduce__(self) -> tuple[object, ...]:
        keywords = {"verdict": self.verdict, "host": self.host, "fix": self.fix}
        return _rebuild, (type(self), (self.problem,), keywords)


class PinMismatchError(_VerdictError):
    """No certificate of the verified chain has a pinned key.

    ``verdict`` has the chain that was verified and the policy of the host, for a log or a report.
    """


class PinSetExpiredError(_VerdictError):
    """The pins of this host have expired, and its policy refuses connections then (fail closed)."""


class TransparencyError(_VerdictError):
    """A pin matches, but too few known logs promise to publish the certificate (``require_ct``).

    ``verdict.transparency`` has the required number of SCTs, and the reason for each SCT that does
    not count. The rules are RFC 6962, and Chrome's CT policy.
    """


class UnpinnedHostError(PinError):
    """A connection was refused because no policy of the pin set covers its host (strict mode)."""


class InsecureRequestError(PinError):
    """A request, perhaps after a redirect, would be sent in clear text, such as by ``http://``."""


class WeakenedContextError(PinError):
    """Certificate verification was switched off on the SSL context: chain, hostname or dates.

    The connection is refused, because without this verification a matching pin would prove nothing.
    The error also refuses a connection that would send a client certificate before the server is
    verified.
    """


class ContextCopyError(PinError):
    """A library read the roots of the pinned context, to build a context without pins.

    urllib3-future does so for QUIC, rtls and utls. The error is not an ``AttributeError``, because
    urllib3-future would take that as an empty context and use the platform's roots.
    """


class UnverifiedChainError(PinError):
    """OpenSSL refused the chain of a host that has a policy, before any pin was compared.

    ``verify_code`` and ``verify_message`` are OpenSSL's reason, and ``__cause__`` is its error.
    ``issuer`` is the issuer of the last certificate on the served path, which begins at the leaf
    and is not verified; ``issuer`` is empty if it can't be read. ``anchors`` are the names of the
    trust anchors in the pin file (``trust = FILE``); empty if the platform's roots are trusted for
    the host.
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
    """The server resumed a TLS session whose chain this context never verified for this host."""


class UncheckedConnectionError(PinError):
    """``assert_pinned`` found that no ``PinnedSSLContext`` checked this connection for its host."""


class TLSUnavailableError(CertpinError):
    """Python was built without TLS, so no connection can be pinned."""

    fix = "use a Python with OpenSSL; reading and linting pin files needs none"

    def __init__(self) -> None:
        super().__init__(
            f"this Python has no TLS: it was built without the module _ssl\n  fix: {self.fix}"
        )

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), ()


class ProbeError(CertpinError):
    """certpin tried to contact a server, and could not get the data that it needs from it.

    For most commands, these data are the certificate chain. ``host`` and ``port`` name the server.
    ``problem`` is the reason, without the name of the server.
    """

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
    """No connection was made: unknown name, no route, refused, or timed out."""


class StartTLSError(ProbeError):
    """The server did not start TLS on request, or not safely.

    The start is not safe if more bytes in clear text arrive before TLS (response injection).
    ``insecure`` is True if the server declined TLS, or if such bytes arrived: an attacker on the
    path may have changed the server's answer (STARTTLS stripping).
    """

    def __init__(
        self, problem: str, *, host: str, port: int, fix: str = "", insecure: bool = False
    ) -> None:
        super().__init__(problem, host=host, port=port, fix=fix)
        self.insecure = insecure

    def __reduce__(self) -> tuple[object, ...]:
        keywords = {
            "host": self.host,
            "port": self.port,
            "fix": self.fix,
            "insecure": self.insecure,
        }
        return _rebuild, (type(self), (self.problem,), keywords)


class HandshakeError(ProbeError):
    """The TLS handshake failed before the server sent its certificate chain."""


class MissingExtraError(CertpinError, ModuleNotFoundError):
    """A part of certpin needs a library that is not installed.

    ``extra`` is the optional dependency group that installs it (``pip install 'certpin[EXTRA]'``).
    The error is a ``ModuleNotFoundError``, so ``try … except ImportError`` works as usual.
    """

    def __init__(self, part: str, extra: str, *, name: str | None = None) -> None:
        fix = f"pip install 'certpin[{extra}]'"
        super().__init__(f"{part} needs the package {name or extra}; fix: {fix}", name=name)
        self.part = part
        self.extra = extra
        self.fix = fix

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), (self.part, self.extra), {"name": self.name})


class _ReasonedError(CertpinError):
    """The base class of errors with a ``reason``: a fixed word that programs can compare.

    ``problem`` is the message for people, without the text of ``fix``.
    """

    def __init__(self, problem: str, *, reason: str = "", fix: str = "") -> None:
        super().__init__(problem + (f"\n  fix: {fix}" if fix else ""))
        self.problem = problem
        self.reason = reason
        self.fix = fix

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), (self.problem,), {"reason": self.reason, "fix": self.fix})


class StoreError(_ReasonedError):
    """The monitoring service's database is unavailable or unusable. Nothing was written.

    The message never contains a password. ``reason`` is a word for programs; the page
    "Operating the monitoring service" of the documentation lists all reasons.
    """


class UpdateError(_ReasonedError):
    """A newer pin set was not available, or not trusted. The client keeps its current pin set.

    ``reason`` is a word for programs; the page "When a connection is refused" of the documentation
    lists all reasons.
    """


def pin_error(
    exc: BaseException | None, *, handled: BaseException | None = None
) -> PinError | None:
    """Return the ``PinError`` inside an error of a client library; ``None`` if there is none.

    Searches causes, contexts, arguments, exception groups, and the attributes in which libraries
    store wrapped errors.

    Args:
        exc: the error of the library.
        handled: an exception that is not searched: the one that was being handled
            (``sys.exception()``) when the library was called. Python makes it the context of each
            new error, but the library did not raise it.
    """
    pending: list[object] = [exc]
    seen = {id(handled)}
    while pending:
        current = pending.pop(0)
        if id(current) in seen:
            continue
        if isinstance(current, PinError):
            return current
        if isinstance(current, BaseException):
            seen.add(id(current))
            pending += _inside(current)
    return None


def _inside(exc: BaseException) -> list[object]:
    fields = (getattr(exc, name, None) for name in ("reason", "certificate_error", "os_error"))
    group = exc.exceptions if isinstance(exc, BaseExceptionGroup) else ()
    return [exc.__cause__, exc.__context__, *exc.args, *fields, *group]


def _rebuild(
    kind: type[CertpinError], args: tuple[object, ...], keywords: dict[str, object]
) -> CertpinError:
    """Create an error from its class and the arguments of its constructor.

    ``pickle`` calls this function when it loads an error. ``kind`` is the class, ``args`` has the
    positional arguments, and ``keywords`` the keyword arguments.
    """
    return kind(*args, **keywords)
