"""Failures of networks and of TLS, in words that say what to do."""

from __future__ import annotations

_LONGEST = 200  # characters; a server may have written them

_SPEAKS_TLS = (
    "check that this port speaks TLS; for mail, LDAP, XMPP and databases say which protocol comes "
    "first: --starttls"
)
_NO_TLS = ("what answered is not TLS", _SPEAKS_TLS)
_TOO_OLD = (
    "it offers no version of TLS that both sides allow",
    "let the server speak TLS 1.2 or 1.3",
)
_NAMELESS = (
    "it turns away the name that was asked for",
    "ask for a name that it serves: --server-name NAME",
)
_CLIENT_CERTIFICATE = (
    "it broke the handshake off: it may want a client certificate, or share no cipher suite",
    "certpin has no client certificate to show: read the server's own from its file (pin FILE)",
)

# OpenSSL's names of errors (openssl/sslerr.h), as Python's ``SSLError.reason``.
_KNOWN = {
    "WRONG_VERSION_NUMBER": _NO_TLS,
    "RECORD_LAYER_FAILURE": _NO_TLS,
    "PACKET_LENGTH_TOO_LONG": _NO_TLS,
    "HTTP_REQUEST": _NO_TLS,
    "UNSUPPORTED_PROTOCOL": _TOO_OLD,
    "TLSV1_ALERT_PROTOCOL_VERSION": _TOO_OLD,
    "TLSV1_UNRECOGNIZED_NAME": _NAMELESS,
    "SSL/TLS_ALERT_UNRECOGNIZED_NAME": _NAMELESS,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": _CLIENT_CERTIFICATE,
    "SSLV3_ALERT_BAD_CERTIFICATE": _CLIENT_CERTIFICATE,
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": _CLIENT_CERTIFICATE,
}


def describe(exc: Exception) -> str:
    """What the operating system or OpenSSL says, without numbers and names of source files."""
    if isinstance(exc, TimeoutError):
        return "it did not answer in time"
    if isinstance(exc, ConnectionResetError | BrokenPipeError | EOFError):
        return "it hung up"
    reason = getattr(exc, "reason", None)
    if isinstance(reason, str) and reason:
        return "it hung up" if "EOF" in reason else reason.lower().replace("_", " ")
    return (getattr(exc, "strerror", None) or str(exc) or type(exc).__name__)[:_LONGEST]


def tls_failure(exc: Exception) -> tuple[str, str]:
    """Why a handshake failed, and what to do."""
    return _KNOWN.get(str(getattr(exc, "reason", "")), (describe(exc), _SPEAKS_TLS))
