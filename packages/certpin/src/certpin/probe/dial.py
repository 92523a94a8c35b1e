"""Contact one server: read the served chain, the chain that OpenSSL verified, and its clock."""

from __future__ import annotations

import errno
import http.client
import re
import socket
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from certpin.errors import CertificateParseError, DialError, HandshakeError, ProbeError
from certpin.pins.hosts import HostServer, is_address, join_address
from certpin.probe.starttls import PROTOCOLS, negotiate, not_tls_error
from certpin.support.network import DaemonPool, Deadline, connect_to, exchange, resolve
from certpin.x509 import Chain
from certpin.x509.certificate import read_certificates
from certpin.x509.openssl import OwnSSLContext, harden, served_chain, trust_alone, verified_chain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from email.message import Message

    from certpin.pins import HostPolicy, PinSet, TrustAnchors

Result = TypeVar("Result")

HTTPS = 443
DIAL_TIMEOUT = 10.0  # seconds for each of: resolving the name, connecting, STARTTLS, the handshake

HANDSHAKE_CHUNK = 64 * 1024  # bytes that are read at once in a handshake
_SHORTEST = 0.001  # seconds: a timeout of 0 would not wait at all

# Addresses of one name that are contacted. A DNS answer of 512 bytes holds 30, and those of large
# networks have 8 of each family; the limit bounds the connections that an answer can cause.
_MAX_ADDRESSES = 64

# The machine has no address or no route of the family, such as IPv6.
_NO_FAMILY = frozenset({errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})

# The name has no address. Other failures of the resolver pass.
_NO_NAME = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})

# Seconds for a server's time: a new connection and an HTTP response. A server without HTTP never
# sends it, and a command goes on without it.
_DATE_TIMEOUT = 2.0
_MAX_AGE_DIGITS = 10  # RFC 9111 section 1.2.2: a larger number of seconds is an overflow

_CACHED_CONTEXTS = 64  # each holds its anchors, which an attacker may have chosen
_LONGEST_ERROR = 200  # characters; a server may have written them

_LINK_LOCAL = re.compile(r"fe[89ab][0-9a-f]:")  # fe80::/10 (RFC 4291 section 2.5.6)
_UNREACHABLE = "check name and port, and that this network may reach it"
_NO_ZONE = (
    "name another address of the server: --connect ADDRESS. certpin connects without the zone of "
    "an address (fe80::1%eth0), which a link-local address needs"
)
_SPEAKS_TLS = (
    "check that this port speaks TLS; for mail, LDAP, XMPP and databases, name the protocol that "
    "comes first: --starttls"
)
_NO_TLS = ("the answer is not TLS", _SPEAKS_TLS)
_TOO_OLD = ("it offers no TLS version that both sides allow", "enable TLS 1.2 or 1.3 on the server")
_UNKNOWN_NAME = (
    "it does not serve the requested name",
    "ask for a name that it serves: --server-name NAME",
)
_CLIENT_CERTIFICATE = (
    "it aborted the handshake: it may want a client certificate, or share no cipher suite",
    "certpin sends no client certificate: read the server's own from its file (pin FILE)",
)
_TOO_LARGE = (
    "a message of the handshake is larger than OpenSSL accepts, such as 100 KiB of certificates",
    "if its certificates are that large: get one with fewer names, send no superfluous ones",
)

# OpenSSL's names of errors (openssl/sslerr.h), as Python's ``SSLError.reason``.
_TLS_FAILURES = {
    "WRONG_VERSION_NUMBER": _NO_TLS,
    "RECORD_LAYER_FAILURE": _NO_TLS,
    "PACKET_LENGTH_TOO_LONG": _NO_TLS,
    "HTTP_REQUEST": _NO_TLS,
    "UNSUPPORTED_PROTOCOL": _TOO_OLD,
    "TLSV1_ALERT_PROTOCOL_VERSION": _TOO_OLD,
    "TLSV1_UNRECOGNIZED_NAME": _UNKNOWN_NAME,
    "SSL/TLS_ALERT_UNRECOGNIZED_NAME": _UNKNOWN_NAME,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": _CLIENT_CERTIFICATE,
    "SSLV3_ALERT_BAD_CERTIFICATE": _CLIENT_CERTIFICATE,
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": _CLIENT_CERTIFICATE,
    "EXCESSIVE_MESSAGE_SIZE": _TOO_LARGE,
}


@dataclass(frozen=True)
class Endpoint:
    """A server to contact, and the host name for which its certificate must be valid.

    Attributes:
        host: the normalised name or IP address of the host. certpin connects to it, unless
            ``connect`` is set. It is also sent as SNI, and the certificate must be valid for it,
            unless ``server_name`` is set.
        port: the TCP port of the host; used to connect unless ``connect`` is set.
        connect: another address and port to connect to, as with curl's ``--connect-to``; ``None``
            for ``host`` and ``port``.
        server_name: the name to send as SNI, and for which the certificate must be valid, in place
            of ``host``. It doesn't change the address to connect to. ``None`` for ``host``.
        starttls: the protocol that upgrades to TLS, a key of ``probe.starttls.PROTOCOLS`` such as
            ``smtp``; ``None`` if TLS begins at once.
        region: the label of the server in the pin file.
        resolved: one of the IP addresses of the server's name, to connect only to this one; empty
            to connect to the first address that answers.
    """

    host: str
    port: int = HTTPS
    connect: tuple[str, int] | None = None
    server_name: str | None = None
    starttls: str | None = None
    region: str = field(default="", compare=False)
    resolved: str = ""

    @property
    def server(self) -> tuple[str, int]:
        """The address and port of the server: ``connect`` if set, else ``host`` and ``port``.

        The address can be a name, which has to be resolved.
        """
        return self.connect or (self.host, self.port)

    @property
    def address(self) -> tuple[str, int]:
        """The address and port to connect to: those of ``server``, or ``resolved`` if it is set."""
        address, port = self.server
        return self.resolved or address, port

    @property
    def name(self) -> str:
        """The name that is sent as SNI, and for which the certificate must be valid."""
        return self.server_name or self.host

    def __str__(self) -> str:
        return join_address(self.host, self.port)


def default_port(starttls: str | None) -> int:
    """Return the port to use if none is given: 443, or the port of the STARTTLS protocol."""
    return PROTOCOLS[starttls].port if starttls else HTTPS


def endpoint_at(host: str, server: HostServer) -> Endpoint:
    """Return the endpoint to contact for one server of a host.

    Args:
        host: the normalised host, for which the server's certificate must be valid.
        server: the server's address, port, protocol and region in the pin file.
    """
    port = server.port or default_port(server.starttls)
    connect = (server.address, port) if server.address not in {"", host} else None
    return Endpoint(host, port, connect, starttls=server.starttls, region=server.region)


def served_at(
    policy: HostPolicy, owner: PinSet | None = None
) -> tuple[tuple[str, HostServer], ...]:
    """Return the servers to contact for a policy, each with the host that its certificate names.

    If the policy lists no server, the only server is the host of the policy's pattern. If the
    pattern is a ``*.`` wildcard, a server is left out unless its address is a name that the
    wildcard covers: otherwise it is unknown which name the certificate must have.

    Args:
        policy: the policy.
        owner: the pin set that contains the policy, to leave out servers with the name of a host
            for which it has a more specific policy, because clients use that one there; ``None``
            to return all servers.
    """
    servers = policy.servers or (HostServer(),)
    named = ((server.name_for(policy.pattern), server) for server in servers)
    return tuple(
        (name, server)
        for name, server in named
        if name is not None and _is_of(policy, name, server, owner)
    )


def _is_of(policy: HostPolicy, name: str, server: HostServer, owner: PinSet | None) -> bool:
    """Return True if clients use ``policy`` for a server that it lists.

    The result is False if ``owner``, the pin set, has a more specific policy for the server's name.
    That is only checked for a server that is contacted at its own name. A server at an IP address
    has the ``name`` of the wildcard only because no other name is known.

    Args:
        policy: the policy.
        name: the host for which the certificate of the server has to be valid.
        server: the server.
        owner: the pin set with the policy; ``None`` to accept each server.
    """
    if owner is None or server.address not in {"", name}:
        return True
    used = owner.policy_for(name)
    return used is not None and used.pattern == policy.pattern


def _each_address(endpoint: Endpoint, timeout: float) -> tuple[Endpoint, ...]:
    """Return an endpoint for each IP address of a server, because each may present a different key.

    If there is only one address, return the given endpoint.

    Raises:
        DialError: the name can't be resolved, or not in time.
        ProbeError: the name has more than ``_MAX_ADDRESSES`` addresses.
    """
    name, port = endpoint.server
    if endpoint.resolved or is_address(name):
        return (endpoint,)
    try:
        found = resolve(name, port, timeout)
    except (OSError, UnicodeError) as exc:
        raise _dial_error(endpoint, exc) from exc
    if len(found) > _MAX_ADDRESSES:
        raise ProbeError(
            f"{name} has {len(found)} addresses, and at most {_MAX_ADDRESSES} are contacted",
            host=endpoint.host,
            port=endpoint.port,
            fix="list its servers by address in the pin file ([[host.server]]), or name the one to "
            "contact: --connect ADDRESS",
        )
    return tuple(replace(endpoint, resolved=each) for each in found) if found[1:] else (endpoint,)


@dataclass(frozen=True)
class ServerAnswers(Generic[Result]):
    """The answers of a server at its IP addresses.

    Attributes:
        by_address: the answer at each address, or the error if there was none. The keys are
            endpoints with the address as ``resolved``.
        unreachable: the addresses of one IP version that this machine can't reach because it has no
            network of this version, such as IPv6. Empty unless the server answered at an address of
            the other version.
    """

    by_address: Mapping[Endpoint, Result | ProbeError]
    unreachable: tuple[str, ...] = ()


def ask_each_address(
    endpoint: Endpoint, ask: Callable[[Endpoint], Result], *, timeout: float = DIAL_TIMEOUT
) -> ServerAnswers[Result]:
    """Contact a server at every IP address of its name, in parallel.

    Args:
        endpoint: the server.
        ask: contacts the server at one address, and returns the answer. If it raises
            ``ProbeError``, the error is the answer.
        timeout: seconds for the resolution of the name.

    Returns:
        The answer at each address. If the addresses can't be determined, the only answer is the
        error.
    """
    try:
        endpoints = _each_address(endpoint, timeout)
    except ProbeError as exc:
        return ServerAnswers({endpoint: exc})
    with DaemonPool(len(endpoints), "certpin-addresses") as pool:
        pending = [pool.submit(partial(_answer, ask, each)) for each in endpoints]
        found = [future.result() for future in pending]
    return _without_missing_family(dict(zip(endpoints, found, strict=True)))


def _answer(ask: Callable[[Endpoint], Result], endpoint: Endpoint) -> Result | ProbeError:
    try:
        return ask(endpoint)
    except ProbeError as exc:
        return exc


def _without_missing_family(
    answers: Mapping[Endpoint, Result | ProbeError],
) -> ServerAnswers[Result]:
    """Separate the addresses that this machine can't reach, because it has no IPv6 or no IPv4.

    They are separated only if the server answered at an address of the other IP version. Otherwise
    the error at each address counts as its answer.

    Args:
        answers: the answer, or the error, at each address of a server.
    """
    for is_v6 in (False, True):
        family = {each: answers[each] for each in answers if (":" in each.resolved) == is_v6}
        others = {each: answers[each] for each in answers if each not in family}
        answered = any(not isinstance(answer, ProbeError) for answer in others.values())
        if answered and all(map(_lacks_family, family.values())):
            return ServerAnswers(others, tuple(each.resolved for each in family))
    return ServerAnswers(answers)


def _lacks_family(answer: object) -> bool:
    cause = answer.__cause__ if isinstance(answer, DialError) else None
    return isinstance(cause, OSError) and cause.errno in _NO_FAMILY


def could_not_ask(error: DialError) -> bool:
    """Return True if a failed connection is due to this machine, and not to the server.

    The failure then doesn't show that the server is gone. For example, the machine has no IPv6
    address or route, or could not resolve the name because its resolver failed temporarily. Return
    False if the name doesn't exist, or the server refused.
    """
    cause = error.__cause__
    if isinstance(cause, socket.gaierror):
        return cause.errno not in _NO_NAME
    return _lacks_family(error)


@dataclass(frozen=True)
class Observation:
    """The chain that a server presented, and the chain that OpenSSL verified.

    Attributes:
        endpoint: the server.
        address: the IP address that answered.
        tls_version: the TLS version, as in ``ssl.SSLSocket.version()``.
        served: the chain as it was sent. An attacker may have sent it if ``verified`` is ``None``.
        verified: the chain that OpenSSL built for this name, leaf to root; ``None`` if OpenSSL
            refused the served chain.
        problem: the reason why OpenSSL refused the chain; empty if it accepted the chain.
        code: OpenSSL's number for ``problem`` (X509_V_ERR_…, openssl/x509_vfy.h).
    """

    endpoint: Endpoint
    address: str
    tls_version: str
    served: Chain
    verified: Chain | None
    problem: str = ""
    code: int = 0


def probe_context(anchors: str | None = None, *, strict: bool | None = None) -> ssl.SSLContext:
    """Make a TLS context that verifies chain, name and dates, but compares no pins.

    The caller compares the chain with pins after the handshake. Threads may share the context.

    Args:
        anchors: trust only these certificates (PEM); ``None`` for the roots of the platform. A
            chain may end at an anchor that is not a root, as with ``trust`` in the pin file.
        strict: ``strict_x509`` of the pin file; ``None`` for the default of the running Python. It
            is used only with ``anchors``.

    Raises:
        InputError: the anchors can't be read.
    """
    if anchors is not None:
        return trust_alone(read_certificates(anchors.encode()), strict=strict)
    context = OwnSSLContext(ssl.PROTOCOL_TLS_CLIENT)
    harden(context)
    context.load_default_certs()
    return context


class ContextCache:
    """Makes one TLS context for each set of trust anchors, and keeps it for later connections.

    Reading many roots takes long. Threads may share the cache. A long-lived process should make a
    new cache from time to time, because the roots of the platform change.

    Attributes:
        get: a function that takes a policy's trust anchors, or ``None`` for the platform's roots,
            and returns a TLS context that trusts them.
    """

    def __init__(self) -> None:
        self.get = lru_cache(maxsize=_CACHED_CONTEXTS)(_context_for)


def _context_for(trust: TrustAnchors | None) -> ssl.SSLContext:
    """Make a TLS context that trusts a policy's anchors, or the platform's roots for ``None``."""
    anchors = "".join(map(ssl.DER_cert_to_PEM_cert, trust.der)) if trust else None
    return probe_context(anchors, strict=trust.strict if trust else None)


def observe(
    endpoint: Endpoint, context: ssl.SSLContext, *, timeout: float = DIAL_TIMEOUT
) -> Observation:
    """Connect to a server, verify its chain, and read the served and the verified chain.

    If the chain does not verify, a second connection without verification reads the served chain.
    That chain proves nothing about the server. Not checked: pins, revocation.

    Args:
        endpoint: the server.
        context: a TLS context from ``probe_context``.
        timeout: seconds for each of connecting, STARTTLS and the handshake.

    Returns:
        The chains.

    Raises:
        DialError: there was no TCP connection.
        StartTLSError: the server did not agree to begin TLS, or agreed and then sent bytes that are
            not TLS.
        HandshakeError: TLS failed, or the certificates can't be read.
    """
    try:
        return _observe_once(endpoint, context, timeout)
    except ssl.SSLCertVerificationError as exc:
        return _observe_once(endpoint, unverified_context(), timeout, exc)


def _observe_once(
    endpoint: Endpoint,
    context: ssl.SSLContext,
    timeout: float,
    refusal: ssl.SSLCertVerificationError | None = None,
) -> Observation:
    with _connect(endpoint, timeout) as plain:
        address = str(plain.getpeername()[0])
        if endpoint.starttls:
            negotiate(plain, PROTOCOLS[endpoint.starttls], endpoint.host, endpoint.port)
        connection = _handshake(endpoint, context, plain, timeout)
        return _read_chains(endpoint, address, connection, refusal)


def _connect(endpoint: Endpoint, timeout: float) -> socket.socket:
    try:
        return connect_to(*endpoint.address, timeout)
    except (OSError, UnicodeError) as exc:
        raise _dial_error(endpoint, exc) from exc


def _dial_error(endpoint: Endpoint, exc: Exception) -> DialError:
    address, port = endpoint.address
    return DialError(
        f"no connection to {address} port {port}: {describe_error(exc)}",
        host=endpoint.host,
        port=endpoint.port,
        fix=_NO_ZONE if _LINK_LOCAL.match(address) else _UNREACHABLE,
    )


def _handshake(
    endpoint: Endpoint, context: ssl.SSLContext, plain: socket.socket, timeout: float
) -> ssl.SSLObject:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    until = time.monotonic() + timeout
    try:
        tls = context.wrap_bio(incoming, outgoing, server_hostname=endpoint.name)
        while True:
            is_done, data = continue_handshake(tls, outgoing, plain)
            plain.settimeout(max(until - time.monotonic(), _SHORTEST))
            plain.sendall(data)
            if is_done:
                return tls
            received = plain.recv(HANDSHAKE_CHUNK)
            incoming.write(received) if received else incoming.write_eof()
            if time.monotonic() > until:
                raise TimeoutError
    except ssl.SSLCertVerificationError:
        raise
    except (OSError, ValueError) as exc:
        raise _handshake_error(endpoint, exc) from exc


def _handshake_error(endpoint: Endpoint, exc: Exception) -> ProbeError:
    problem, fix = tls_failure(exc)
    if endpoint.starttls and fix == _SPEAKS_TLS:
        if problem == _NO_TLS[0]:
            protocol = PROTOCOLS[endpoint.starttls]
            return not_tls_error(protocol, endpoint.host, endpoint.port)
        fix = "the server agreed to STARTTLS: check its TLS settings, and its log"
    return HandshakeError(f"no TLS: {problem}", host=endpoint.host, port=endpoint.port, fix=fix)


def continue_handshake(
    tls: ssl.SSLObject, outgoing: ssl.MemoryBIO, sock: socket.socket
) -> tuple[bool, bytes]:
    """Continue a TLS handshake as far as the received bytes allow.

    The handshake runs over memory BIOs and not on the socket. From a socket, OpenSSL reads as long
    as data arrives. So a server that keeps sending messages that OpenSSL skips, such as
    HelloRequest (RFC 5246 7.4.1.1), could keep OpenSSL busy for ever, without regard to timeouts
    and signals.

    Args:
        tls: the TLS object.
        outgoing: the memory BIO into which ``tls`` writes.
        sock: the connection. If the handshake fails, an alert is sent on it.

    Returns:
        True if the handshake is complete, otherwise False; and the bytes to send to the server now.

    Raises:
        ssl.SSLError: the handshake failed.
    """
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        return False, outgoing.read()
    except ssl.SSLError:
        with suppress(OSError):
            sock.send(outgoing.read())
        raise
    return True, outgoing.read()


def _read_chains(
    endpoint: Endpoint,
    address: str,
    connection: Any,
    refusal: ssl.SSLCertVerificationError | None,
) -> Observation:
    raw, version = connection._sslobj, connection.version() or ""
    try:
        served = Chain.from_der(served_chain(raw))
        if refusal is None:
            path = Chain.from_der(verified_chain(raw))
            return Observation(endpoint, address, version, served, path)
    except CertificateParseError as exc:
        raise HandshakeError(
            f"its certificates cannot be read: {exc.problem}",
            host=endpoint.host,
            port=endpoint.port,
            fix=exc.fix,
        ) from exc
    problem = (refusal.verify_message or str(refusal)).rstrip(".")
    return Observation(endpoint, address, version, served, None, problem, refusal.verify_code)


def unverified_context() -> ssl.SSLContext:
    """Make a TLS context that accepts any chain, to read a chain that did not verify.

    Data from such a connection proves nothing about the server.
    """
    context = OwnSSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


# The time of a server: the HTTP header ``Date`` (RFC 9110 section 6.6.1).


def server_time(
    observation: Observation, context: ssl.SSLContext, *, timeout: float = DIAL_TIMEOUT
) -> datetime | None:
    """Send a HEAD request, and return the time that the server reports, in UTC.

    If the chain in ``observation`` verified, the request's connection is verified too. Otherwise
    the request is sent without verification, because a wrong clock of this machine may be the
    reason: then the returned time proves nothing. The request contains no data but the host.

    Args:
        observation: the server, and whether its chain verified.
        context: the TLS context with which the server was observed.
        timeout: seconds for the connection and the response together; more than 2 count as 2.

    Returns:
        The time, to the second; None if the server uses STARTTLS, does not answer by HTTP in time,
        or sends no valid date.
    """
    endpoint = observation.endpoint
    if endpoint.starttls:
        return None
    if observation.verified is None:
        context = unverified_context()
    return _time_at(
        f"https://{join_address(endpoint.name, endpoint.port)}/",
        context,
        timeout,
        host=endpoint.name,
        connect=endpoint.address,
    )


def url_time(
    url: str, context: ssl.SSLContext, *, timeout: float = DIAL_TIMEOUT
) -> datetime | None:
    """Send a HEAD request to an ``https://`` URL, and return the time of its server, in UTC.

    Args:
        url: the URL. A response with any status is accepted.
        context: the TLS context that verifies the server.
        timeout: seconds for the connection and the response together; more than 2 count as 2.

    Returns:
        The time, to the second; None if the server does not answer, its chain does not verify, or
        it sends no valid date.
    """
    return _time_at(url, context, timeout)


def _time_at(
    url: str,
    context: ssl.SSLContext,
    timeout: float,
    *,
    host: str = "",
    connect: tuple[str, int] | None = None,
) -> datetime | None:
    timeout = min(timeout, _DATE_TIMEOUT)
    deadline = Deadline(timeout, timeout)
    try:
        answer = exchange("HEAD", url, deadline, context, host=host, connect=connect)
        found = parsedate_to_datetime(answer.headers.get("Date", "")) + _age(answer.headers)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (OSError, http.client.HTTPException, ValueError, OverflowError):
        return None


def _age(headers: Message) -> timedelta:
    """Return for how long a cache such as a CDN has kept an HTTP response, by its header ``Age``.

    A cache does not change ``Date``; it sends the seconds since then as ``Age`` (RFC 9111
    section 5.1). The result is zero if ``Age`` is missing or is not a number.
    """
    text = headers.get("Age", "").strip()
    is_number = text.isascii() and text.isdigit() and len(text) <= _MAX_AGE_DIGITS
    return timedelta(seconds=int(text)) if is_number else timedelta(0)


# Errors of the network and of TLS, as text.


def describe_error(exc: Exception) -> str:
    """Return the text of a network or TLS error, without error numbers and source file names."""
    if isinstance(exc, TimeoutError):
        return "it did not answer in time"
    # Python 3.11.2, which Debian 12 has, raises the last one for any end (CPython's issue 95494).
    if isinstance(exc, ConnectionResetError | BrokenPipeError | EOFError | ssl.SSLZeroReturnError):
        return "it closed the connection"
    reason = getattr(exc, "reason", None)
    if isinstance(reason, str) and reason:
        return "it closed the connection" if "EOF" in reason else reason.lower().replace("_", " ")
    return (getattr(exc, "strerror", None) or str(exc) or type(exc).__name__)[:_LONGEST_ERROR]


def tls_failure(exc: Exception) -> tuple[str, str]:
    """Return the reason why a TLS handshake failed with ``exc``, and advice to the user."""
    return _TLS_FAILURES.get(str(getattr(exc, "reason", "")), (describe_error(exc), _SPEAKS_TLS))
