"""Failures of the pin check: their log records, the calls of failure hooks, and their errors.

``PinFailure`` describes a failure to the application. ``FailureNotifier`` logs it and passes it to
the hooks, which can neither break nor delay a connection. ``explain_refusal`` makes the error for a
chain that OpenSSL itself refused, and the functions at the end make the errors of other refusals.
``certpin.pins.verdict`` explains pins that don't match. See rule 12 of docs/concepts/matching.md.

This module can be imported in a Python without TLS, because ``certpin.tls`` always exports names of
it.
"""

from __future__ import annotations

import _socket
import socket
import warnings
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from certpin.errors import (
    CertificateParseError,
    ConfigError,
    ContextCopyError,
    HostError,
    InsecureRequestError,
    PinError,
    UnpinnedHostError,
    UnverifiedChainError,
    WeakenedContextError,
)
from certpin.pins import PinSet, normalise
from certpin.pins.verdict import compare_advice
from certpin.support.hooks import Hooks, checked_hooks
from certpin.support.text import printable
from certpin.x509 import Certificate, ServedPath, name_of, quoted, served_path, shorten

if TYPE_CHECKING:
    import logging
    import ssl
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from certpin.pins import HostPolicy, Verdict
    from certpin.pins.verdict import Decision

    FailureHook = Callable[["PinFailure"], object]

DEBUG_VARIABLE = "CERTPIN_DEBUG"
_ERROR, _WARNING = 40, 30  # logging.ERROR, logging.WARNING


class DebugOverrideWarning(UserWarning):
    """The category of warnings about connections that were accepted without a pin, for debugging.

    The debug override (``CERTPIN_DEBUG=1``, and a ``[debug]`` section in the pin set) accepts
    chains to certain anchors without a matching pin.
    """


def warn_of_debug_override(host: str) -> None:
    """Issue a ``DebugOverrideWarning``: a chain of this host was accepted without a matching pin.

    The debug override (``CERTPIN_DEBUG=1``, and a ``[debug]`` section in the pin set) allows such
    chains. The warning is issued for each connection, not only for the first one.
    """
    # warnings.warn() would show one warning for each line of code; rule 11 wants one for each use.
    warnings.warn_explicit(
        f"{host}: accepted by the debug override ({DEBUG_VARIABLE}=1), not by a pin",
        DebugOverrideWarning,
        filename=__file__,
        lineno=1,
        module=__name__,
    )


class ContactedServer(NamedTuple):
    """The certificates that a server sent, and the port of its connection.

    They are recorded with a failure, because the verdict on a connection does not contain them.
    ``served`` has the certificates as DER. ``port`` is 0 if it is unknown.
    """

    served: tuple[bytes, ...] = ()
    port: int = 0


@dataclass(frozen=True)
class PinFailure:
    """One failure: a connection that was refused, or that was accepted although no pin matched.

    Attributes:
        host: The normalised host; empty if the connection named none.
        decision: ``refuse``, ``report`` (accepted and reported) or ``accept``.
        reason: If there is a verdict, its reason, such as ``mismatch``. If OpenSSL itself refused
            the chain, before any pin was compared: ``untrusted``, ``name``, ``date``, ``revoked``
            or ``invalid``. If the debug override accepted a host without a policy:
            ``debug-anchor``. Otherwise the class name of the error. A request in clear text that a
            policy in mode ``report`` allowed has ``InsecureRequestError``, although no error was
            raised.
        at: The time of the failure, with a time zone.
        pin_set: The name of the pin set that was enforced.
        pin_set_version: The version of that pin set.
        error: The error that was raised, or None if the connection was accepted.
        verdict: The verdict on the chain, or None if there was none.
        policy: The policy of the host, or None if no policy covers it.
        served: The certificates that the server sent, as DER, in its order. They are not verified.
            Empty if the handshake failed before they arrived.
        port: The port of the connection, or 0 if it is unknown.
    """

    host: str
    decision: Decision
    reason: str
    at: datetime
    pin_set: str
    pin_set_version: int
    error: ssl.SSLCertVerificationError | None = None
    verdict: Verdict | None = None
    policy: HostPolicy | None = None
    served: tuple[bytes, ...] = ()
    port: int = 0

    @property
    def debug(self) -> bool:
        """True if ``CERTPIN_DEBUG=1`` was the reason to accept the connection without a pin."""
        return self.reason == "debug-anchor"

    def fields(self) -> dict[str, Any]:
        """Return the failure as plain values without secrets, for a structured log."""
        chain = None if self.verdict is None else self.verdict.chain
        certificates = chain.certificates if chain else ()
        return {
            "host": self.host,
            "port": self.port,
            "decision": self.decision,
            "reason": self.reason,
            "at": self.at.isoformat(),
            "pin_set": self.pin_set,
            "pin_set_version": self.pin_set_version,
            "policy": None if self.policy is None else str(self.policy.pattern),
            "debug": self.debug,
            "chain_spki_sha256": [each.spki_sha256.hex() for each in certificates],
        }


class FailureNotifier:
    """Logs failures and passes them to the app's hooks. The methods never raise and never wait.

    Most hooks are called later, in a separate thread. A hook with ``never_waits = True`` only
    queues the failure. Such a hook is called at once and in this thread, so that it has the failure
    even if the app then exits. ``prompt`` contains the hooks of this kind.

    Raises:
        ConfigError: a hook is not a function, or is asynchronous.
    """

    def __init__(self, given: Iterable[FailureHook]) -> None:
        hooks = checked_hooks(given, "failure")
        self.prompt = tuple(hook for hook in hooks if getattr(hook, "never_waits", False) is True)
        others = tuple(hook for hook in hooks if hook not in self.prompt)
        self._hooks = Hooks(others, "failure", _logger)

    def notify(self, failure: PinFailure) -> None:
        """Log a failure and pass it to the hooks. Never raises, even if a log handler does.

        So an ``Exception`` that a signal handler raises here, such as an app's time limit, is lost:
        it looks like that of a log handler or hook. A ``BaseException``, such as
        ``KeyboardInterrupt`` or ``gevent.Timeout``, is raised.
        """
        with suppress(Exception):
            self._log(failure)
        for hook in self.prompt:
            with suppress(Exception):
                hook(failure)
        with suppress(Exception):
            self._hooks.notify(failure)

    def _log(self, failure: PinFailure) -> None:
        _logger().log(
            _ERROR if failure.decision == "refuse" else _WARNING,
            "%s: %s (%s)",
            failure.host or "(no host)",
            _WORDS[failure.decision],
            failure.reason,
            extra={"certpin": failure.fields()},
        )


_WORDS = {
    "refuse": "refused",
    "report": "let pass, since the policy only reports",
    "accept": "accepted without a pin",
}


def _logger() -> logging.Logger:
    """Return the logger ``certpin``. The module ``logging`` is imported on the first call."""
    import logging

    return logging.getLogger("certpin")


_MAX_PORT = 65535


class RequestTarget(NamedTuple):
    """The host and port of the HTTP request for which a client adapter is opening a connection.

    A client adapter connects an HTTP library to certpin. It sets host and port while it connects
    (``requesting``), because TLS itself knows only the host. Without an adapter, ``port_of``
    returns the port of the socket's peer, which can be a proxy. A memory BIO (asyncio) has no
    socket, so its port is unknown. An unknown port is 0.
    """

    host: str = ""
    port: int = 0

    def known_port(self, host: str) -> int:
        """Return the port of the HTTP request to a normalised host; 0 if it is unknown.

        The port is known only while a client adapter connects to this host.
        """
        return self.port if self.port and self._is(host) else 0

    def port_of(self, host: str, sock: object = None) -> int:
        """Return the port of a connection to a normalised host; 0 if the port is unknown.

        If no client adapter has set the port, it is that of the peer of ``sock``, the socket of the
        connection, if there is one.
        """
        return self.known_port(host) or _peer_port(sock)

    def _is(self, host: str) -> bool:
        """Return True if a normalised host is the host of the current HTTP request.

        Return False for another host, such as that of a proxy.
        """
        with suppress(HostError):
            return normalise(self.host) == host
        return False


_NO_REQUEST = RequestTarget()
_request: ContextVar[RequestTarget] = ContextVar("certpin_request", default=_NO_REQUEST)
current_request = _request.get  # for this thread or task


@contextmanager
def requesting(host: str, port: int) -> Iterator[None]:
    """Context manager: pin errors, and the failures for hooks, of ``host`` contain this ``port``.

    It is for the connections of this thread or task while the block runs, because the TLS layer
    doesn't know the port of a request. The connections themselves are not affected.
    """
    token = _request.set(RequestTarget(host, port if 0 < port <= _MAX_PORT else 0))
    try:
        yield
    finally:
        with suppress(ValueError):  # a coroutine that is closed in another context
            _request.reset(token)


def _peer_port(sock: object) -> int:
    """Return the port of a socket's peer; 0 for a Unix socket and for a peer that disconnected."""
    # The class in C, which gevent doesn't replace, and on which its sockets are based too.
    if not isinstance(sock, _socket.socket) or sock.family not in _INTERNET:
        return 0
    with suppress(OSError):
        port: int = sock.getpeername()[1]
        return port
    return 0


_INTERNET = frozenset({socket.AF_INET, socket.AF_INET6})


Unverified = Literal["untrusted", "name", "date", "revoked", "invalid"]

# X509_V_ERR_… of openssl/x509_vfy.h. All other codes are "invalid": a key that is too small, a
# purpose that the certificate was not issued for, an issuer that is no authority. The words are
# those of browsers' reports (certpin.reports.codecs.nel), TrustKit and the Dart client, so that a
# collector counts one reason under one name.
_REASONS: dict[int, Unverified] = {
    2: "untrusted",  # UNABLE_TO_GET_ISSUER_CERT
    18: "untrusted",  # DEPTH_ZERO_SELF_SIGNED_CERT
    19: "untrusted",  # SELF_SIGNED_CERT_IN_CHAIN
    20: "untrusted",  # UNABLE_TO_GET_ISSUER_CERT_LOCALLY
    21: "untrusted",  # UNABLE_TO_VERIFY_LEAF_SIGNATURE
    27: "untrusted",  # CERT_UNTRUSTED
    28: "untrusted",  # CERT_REJECTED
    9: "date",  # CERT_NOT_YET_VALID
    10: "date",  # CERT_HAS_EXPIRED
    13: "date",  # ERROR_IN_CERT_NOT_BEFORE_FIELD
    14: "date",  # ERROR_IN_CERT_NOT_AFTER_FIELD
    62: "name",  # HOSTNAME_MISMATCH
    64: "name",  # IP_ADDRESS_MISMATCH
    23: "revoked",  # CERT_REVOKED, if the application loaded revocation lists
}


def reason_of(verify_code: int) -> Unverified:
    """Return the reason, such as ``date``, for OpenSSL's code of a failed verification.

    The code is ``verify_code`` of ``ssl.SSLCertVerificationError``.
    """
    return _REASONS.get(verify_code, "invalid")


def explain_refusal(
    host: str, policy: HostPolicy, server: ContactedServer, error: ssl.SSLCertVerificationError
) -> UnverifiedChainError:
    """Return an error that explains why OpenSSL refused the chain of a host with a policy.

    See rule 12 of docs/concepts/matching.md.

    Args:
        host: the normalised host.
        policy: the policy of the host. Its ``trust`` has the expected anchors.
        server: the certificates that the server sent, which may be hostile, and the port of the
            HTTP request. The port is 0 if it is unknown; the port of the socket's peer would be
            wrong here, because the peer can be a proxy.
        error: the error that OpenSSL raised.
    """
    # Here, because a Python without TLS loads this module.
    from certpin.x509.openssl import strict_advice
    from certpin.x509.revocation import list_advice

    message = error.verify_message or str(error)
    certificates = [_read(der) for der in server.served]
    anchors = tuple(map(_read, policy.trust.der)) if policy.trust else ()
    names = tuple(map(_subject_of, anchors))
    path = _path_of(certificates)
    pattern = str(policy.pattern)
    lines = [
        f"{host} refused: OpenSSL did not verify its chain: {message}; policy {pattern!r}",
        *_served_lines(certificates),
        *_anchor_lines(policy, names),
    ]
    return UnverifiedChainError(
        "\n".join(lines),
        host=host,
        fix=strict_advice(error.verify_code)
        or list_advice(error.verify_code, trust_file=policy.trust is not None)
        or _fix(
            reason_of(error.verify_code),
            certificates,
            anchors,
            compare_advice(policy, host, port=server.port),
        ),
        code=error.verify_code,
        message=message,
        issuer=_issuer_of(path.end) if path else "",
        anchors=names,
    )


_SHOWN = 10  # certificates; a hostile server may send hundreds
_UNREADABLE = "(a certificate that cannot be read)"


def _read(der: bytes) -> Certificate | None:
    try:
        return Certificate.from_der(der)
    except CertificateParseError:
        return None


def _subject_of(certificate: Certificate | None) -> str:
    return name_of(certificate) if certificate else _UNREADABLE


def _issuer_of(certificate: Certificate | None) -> str:
    try:
        return shorten(certificate.issuer) if certificate else ""
    except CertificateParseError:
        return ""


def _path_of(served: list[Certificate | None]) -> ServedPath | None:
    """Return the path that leads upwards from the served leaf; None if the leaf can't be read.

    ``served`` has None for each certificate that can't be read. If there is one, it may be the
    issuer that the path lacks. So it is unknown if the server sent the issuer, and
    ``issuer_missing`` of the result is False.
    """
    if not served or served[0] is None:
        return None
    readable = [each for each in served if each is not None]
    path = served_path(readable)
    return path if len(readable) == len(served) else path._replace(issuer_missing=False)


def _served_lines(certificates: list[Certificate | None]) -> Iterator[str]:
    if certificates:
        yield "  served, leaf first, and not verified:"
    for certificate in certificates[:_SHOWN]:
        issuer = _issuer_of(certificate)
        yield f"    {_subject_of(certificate)}" + (f"  issued by {issuer}" if issuer else "")
    if len(certificates) > _SHOWN:
        yield f"    and {len(certificates) - _SHOWN} more"


def _anchor_lines(policy: HostPolicy, anchors: tuple[str, ...]) -> Iterator[str]:
    if policy.trust is None:
        yield "  expected: a chain to a root that this platform trusts"
        return
    source = printable(policy.trust.source)
    yield "  expected: a chain to an anchor of the pin file" + (f" ({source}):" if source else ":")
    for name in anchors:
        yield f"    {name}"


def _fix(
    reason: Unverified,
    served: list[Certificate | None],
    anchors: tuple[Certificate | None, ...],
    compare: str,
) -> str:
    if reason == "date":
        return (
            "check the clock of this machine; if it is right, renew the certificate that is not "
            "valid now: the server's, or that of an authority above it"
        )
    if reason == "name":
        return f"connect to a name that is in the certificate, or get one for this host. {compare}"
    if reason != "untrusted":
        return f"ask the server's operator for a certificate that OpenSSL accepts. {compare}"
    mistaken = _mistaken_fix(served, anchors)
    return f"{mistaken or _untrusted_fix(_path_of(served), anchors)}. {compare}"


def _mistaken_fix(served: list[Certificate | None], anchors: tuple[Certificate | None, ...]) -> str:
    """Return advice if an authorityKeyIdentifier in the chain names the wrong certificate.

    OpenSSL then refuses the chain, although its signatures lead to a trust anchor (see
    ``mistaken_issuer`` in ``certpin.x509.chain``). In any other case, return an empty text.
    ``served`` is the chain that the server sent, the leaf first, and ``anchors`` are the trust
    anchors of the client. A certificate that can't be parsed is ``None``.
    """
    from certpin.x509.chain import mistaken_issuer

    if not served or served[0] is None:
        return ""
    sent, trusted = (tuple(each.der for each in some if each) for some in (served, anchors))
    pair = mistaken_issuer(sent, trusted)
    if pair is None:
        return ""
    child, issuer = map(name_of, pair)
    add = (
        "add the one that it names to `trust` in the pin file"
        if pair[1].der in trusted
        else "let the server send the one that it names"
    )
    return (
        f"the authorityKeyIdentifier of {child} names another certificate of {issuer}, with the "
        f"same key, and another serial number or key identifier: {add}; or get a certificate "
        f"{child} that names the current one of {issuer}"
    )


def _untrusted_fix(path: ServedPath | None, anchors: tuple[Certificate | None, ...]) -> str:
    known = (
        "add its root to `trust` in the pin file"
        if anchors
        else "set `trust` in the pin file to it"
    )
    changed = f"If the server changed its authority on purpose, {known}"
    issuer = (_issuer_of(path.end) if path else "") or "another authority"
    is_namesake = path is not None and _has_namesake(anchors, path.end)
    if not path or not path.issuer_missing or is_namesake:
        other = ", and has another key than the expected one" if is_namesake else ""
        return (
            f"the chain ends at {issuer}, which is not trusted for this host{other}: treat it as "
            f"an attack. {changed}"
        )
    unless = (
        f"unless {issuer} is an intermediate of an expected authority: then let the server send it "
        f"(the full chain). {changed}"
    )
    if len(path.certificates) > 1:  # the issuer of an intermediate is mostly a root
        return (
            f"the chain ends at {issuer}, which is not trusted for this host, and was not sent: "
            f"treat it as an attack, {unless}"
        )
    return (
        f"the server did not send the certificate of {issuer} that issued {name_of(path.end)}. "
        f"Treat it as an attack, {unless}"
    )


def _has_namesake(anchors: tuple[Certificate | None, ...], end: Certificate) -> bool:
    """Return True if a trust anchor has the name of the issuer of ``end``, but another key.

    ``end`` is the last certificate of the path that the server sent. ``anchors`` are the trust
    anchors of the client; ``None`` is one that can't be parsed.
    """
    from certpin.x509.chain import only_name_matches

    return any(each is not None and only_name_matches(each.der, end.der) for each in anchors)


def late_check_error(host: str) -> WeakenedContextError:
    """Return the error for a handshake without the check before the client certificate."""
    return WeakenedContextError(
        f"{host} refused: the check before the client certificate was sent did not run",
        host=host,
        fix="don't set _msg_callback on a PinnedSSLContext with a client certificate",
    )


def unsigned_exchange_error(host: str) -> WeakenedContextError:
    """Return the error for a handshake in which the client would send its certificate too early.

    The server has not yet proved that it has the key of the server's certificate.
    """
    return WeakenedContextError(
        f"{host} refused: with the cipher suite that it chose, it would get the client certificate "
        "before it proves that it has the key of its certificate",
        host=host,
        fix="leave RSA key exchange out of set_ciphers() (':!kRSA'), and enable ECDHE or TLS 1.3 "
        "on the server",
    )


def trust_changed_error(host: str) -> PinError:
    """Return the error for a host that got other trust anchors during its handshake.

    The reason is that the pin set was replaced.
    """
    return PinError(
        f"{host} refused: the trust of its policy changed during the handshake",
        host=host,
        fix="connect again",
    )


def unreadable_chain_error(host: str, error: CertificateParseError) -> PinError:
    """Return the error for a host with a certificate in its chain that certpin refuses to read.

    OpenSSL has verified the chain. ``error`` names the rule of DER or of RFC 5280 that is broken.
    """
    return PinError(
        f"{host} refused: a certificate of its chain cannot be used: {error.problem}",
        host=host,
        fix="ask the server's operator for a certificate that follows X.690 and RFC 5280",
    )


def clear_text_error(host: str) -> InsecureRequestError:
    """Return the error for a request that would be sent in clear text."""
    return InsecureRequestError(
        f"{host} refused: the request would go out in clear text, past every pin",
        host=host,
        fix="write https://; if a redirect led here, ask the server's operator for https:// too",
    )


def unpinned_error(host: str, pin_set: str, *, fix: str = "") -> UnpinnedHostError:
    """Return the error for a host that no policy covers, in strict mode.

    Args:
        host: the host.
        pin_set: the name of the pin set.
        fix: the advice of the error; by default, advice for the author of a program.
    """
    return UnpinnedHostError(
        f"{host} refused: the pin set {quoted(pin_set)} has no policy for it",
        host=host,
        fix=fix
        or f"certpin add {host}, or PinnedSSLContext(pins, strict=False) "
        "to let hosts without a policy pass unpinned",
    )


def weakened_error(host: str, what: str) -> WeakenedContextError:
    """Return the error for a context with weakened verification. ``what`` names the setting."""
    return WeakenedContextError(
        f"{host} refused: the checks of chain, hostname and dates were weakened ({what})",
        host=host,
        fix="remove verify=False, ssl=False, assert_hostname=False, cert_reqs='CERT_NONE' or the "
        "change of this setting from the client; for a private authority set `trust` in the pin "
        "file",
    )


def list_folder_error(host: str) -> WeakenedContextError:
    """Return the error for revocation lists in a folder, and a host with ``trust = FILE``.

    Such a host has its own trust store, a separate TLS context. Lists from files are copied into
    it. Those in a folder can't be, because OpenSSL reads them only during handshakes.
    """
    return WeakenedContextError(
        f"{host} refused: verify_flags require revocation lists (CRL), and those in a folder "
        "(capath) do not apply to a host with `trust`",
        host=host,
        fix="load each list with context.load_verify_locations(FILE), and no folder; or leave "
        "VERIFY_CRL_CHECK_LEAF and VERIFY_CRL_CHECK_CHAIN out of verify_flags",
    )


def copied_error(how: str) -> ContextCopyError:
    """Return the error for a library that copies a pinned context. ``how`` names the method."""
    return ContextCopyError(
        f"the context was not copied: a library began to copy it ({how}), and the copy has no pins",
        fix="use the client of certpin.clients for your library (niquests, urllib3, requests …); "
        "context.trusted_roots() returns the roots, for purposes other than connecting",
    )


def require_pin_set(value: object) -> None:
    """Raise ``ConfigError`` if a caller gave another object, such as a path, as a pin set."""
    if not isinstance(value, PinSet):
        path = str(value) if isinstance(value, str | PathLike) else "pins.toml"
        raise ConfigError(
            f"this is not a PinSet, but of type {type(value).__name__}",
            key="pins",
            fix=f"certpin.PinSet.load({path!r}) reads a pin file",
        )


def no_host_error(*, of_url: bool = False) -> PinError:
    """Return the error for a connection that names no host, so that no policy can be found.

    ``of_url`` is True if the host is missing in the URL of a request.
    """
    if of_url:
        return PinError(
            "refused: the URL names no host, so there is no policy for it",
            fix="write the whole URL, such as https://api.bank.example/accounts",
        )
    return PinError(
        "refused: there is no server name to find a policy for",
        fix="pass server_hostname, as the client libraries do",
    )
