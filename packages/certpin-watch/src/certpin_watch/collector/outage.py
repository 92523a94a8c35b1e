"""Why NATS cannot be used at present: its errors as text, and one line of the log for each cause.

nats-py tries to connect again and again, and reports failures only to a callback. This module logs
them, because an operator would otherwise see that reports are refused, but not why.
"""

from __future__ import annotations

import logging
import socket
import ssl
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from nats.errors import AuthorizationError, UnexpectedEOF
from nats.errors import Error as NatsError
from nats.js.errors import APIError

from certpin.probe import join_address
from certpin.support.text import printable

if TYPE_CHECKING:
    from certpin_watch.secret import Secret

_PORT = 4222  # of NATS
_AUTHORIZATION = "authorization violation"  # the server's message, in lower case
_CONNECTION_FIX = "start it; check the address in nats, its user and its password"
_STREAM_FIX = "check its stream and its disk"
_CERTIFICATE_FIX = (
    "name the authority of its certificate in nats_ca, and a name of the certificate in nats"
)
_MAX_TEXT = 200  # characters of a message of the server

_LOGIN = "the server refuses the user or the password of the address"
_CLOSED = (UnexpectedEOF, ConnectionResetError, ConnectionAbortedError, BrokenPipeError)
_FAILURES: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str], ...] = (
    (ConnectionRefusedError, "the connection is refused: nothing listens there"),
    (socket.gaierror, "name resolution failed"),
    (_CLOSED, "the server closed the connection"),
    (TimeoutError, "the server does not answer in time"),
)

_log = logging.getLogger("certpin.watch.collector")


class ConsumerGoneError(NatsError):
    """The NATS stream of reports, or the consumer that reads it, does not exist any more.

    The writer records an outage, and then opens both again.
    """

    def __str__(self) -> str:
        return "the stream of the reports, or its consumer, was deleted"


class UnsafeStreamError(NatsError):
    """The NATS stream of reports has a configuration that could lose accepted reports.

    The collector refuses all reports (HTTP status 503, so that clients send them again) until the
    operator changes the configuration. A writer still counts the messages in the stream.
    """

    def __str__(self) -> str:
        return (
            "the stream of the reports would lose some: it has to be a work queue on files, "
            "without max_age, and with discard new"
        )


class NotStoringError(NatsError):
    """The NATS stream of reports exists, but the server does not confirm stored messages.

    Reports are refused until a test message is confirmed.
    """

    def __str__(self) -> str:
        return "it does not store messages: is its disk full?"


_STREAM_FAILURES = ConsumerGoneError | UnsafeStreamError | NotStoringError


class Outage:
    """The reason why NATS cannot be used at present. Each reason is logged once in an outage.

    Args:
        address: the URL of the server. The user and the password in it are never shown.
        consequence: the effect of an outage, such as "reports are refused". The log line begins
            with it.
    """

    def __init__(self, address: Secret, consequence: str) -> None:
        self._address = address
        self._consequence = consequence
        self._logged: set[str] = set()
        self.reason = ""

    async def on_error(self, exc: Exception) -> None:
        """Record an error that nats-py reports. Use it as ``error_cb`` of a client.

        See ``record`` for what is logged.
        """
        self.record(exc)

    async def on_reconnected(self) -> None:
        """End the outage. Use it as ``reconnected_cb`` of a client."""
        self.end()

    def record(self, exc: BaseException) -> None:
        """Record why NATS cannot be used. Log the reason if it is the first time in this outage.

        After a refused login, that the server closes the connection is not recorded.
        """
        if _LOGIN in self._logged and isinstance(exc, _CLOSED):
            return  # the server closes the connection after it has refused the login
        reason = describe_failure(exc)
        self.reason = f"{reason} ({_server_of(self._address)})"
        if reason in self._logged:
            return
        self._logged.add(reason)
        fix = _fix_of(exc)
        _log.warning(
            "%s, because NATS is not ready: %s\n  fix: %s", self._consequence, self.reason, fix
        )

    def end(self) -> None:
        """Record that NATS works. A later failure is logged again."""
        if self._logged:
            _log.info("NATS is ready again")
        self._logged.clear()
        self.reason = ""


def ignore_eof_warning(record: logging.LogRecord) -> bool:
    """Return False for a harmless warning of asyncio about nats-py, so that it is not logged.

    This is a filter for the logger of asyncio. asyncio logs the warning at the end of each TLS
    connection of nats-py, because nats-py begins TLS on a connection that was opened without TLS.
    """
    return not record.getMessage().startswith("returning true from eof_received() has no effect")


def _fix_of(exc: BaseException) -> str:
    if isinstance(exc, ssl.SSLCertVerificationError):
        return _CERTIFICATE_FIX
    is_connected = isinstance(exc, _STREAM_FAILURES | APIError)
    return _STREAM_FIX if is_connected else _CONNECTION_FIX


def describe_failure(exc: BaseException) -> str:
    """Return a description of a NATS error for the log and for pages.

    It never contains a part of the server's address, which may have a password.
    """
    if isinstance(exc, _STREAM_FAILURES):
        return str(exc)
    if isinstance(exc, APIError) and exc.description:
        return printable(exc.description[:_MAX_TEXT])
    if isinstance(exc, AuthorizationError) or _AUTHORIZATION in str(exc).lower():
        return _LOGIN
    if type(exc) is NatsError:  # a message of the server
        return printable(str(exc)[:_MAX_TEXT])
    return _connection_failure(exc) or type(exc).__name__


def _connection_failure(exc: BaseException) -> str:
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"the server's certificate is refused: {exc.verify_message}"
    if isinstance(exc, ssl.SSLError):
        return f"TLS failed: {printable(getattr(exc, 'reason', '') or 'unknown reason')}"
    return next((text for types, text in _FAILURES if isinstance(exc, types)), "")


def _server_of(address: Secret) -> str:
    """Return host and port of the server, without the user and the password of the address."""
    parts = urlsplit(address.reveal())
    return join_address(parts.hostname or "", parts.port or _PORT)
