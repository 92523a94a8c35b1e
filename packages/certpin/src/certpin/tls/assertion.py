"""``assert_pinned``: require that the pins of an open connection were checked.

A pinned context can check only the connections that are made through it. Some libraries bypass the
context that they were given: they copy its roots into another TLS stack, or speak HTTP/3. So
``assert_pinned`` examines the connection itself (rule 14 of docs/concepts/matching.md).
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any, Literal, overload

from certpin.errors import UncheckedConnectionError, UnpinnedHostError
from certpin.pins import normalise
from certpin.tls.gate import Gate, Pinned
from certpin.x509.openssl import OpenSSLSocket, StdlibObject, StdlibSocket

if TYPE_CHECKING:
    from certpin.pins import Verdict
    from certpin.tls.check import PinCheck

# Fields that lead from a connection object to its TLS object, the innermost TLS first: TLS inside
# the TLS of a proxy is the one that carries the request.
_INWARD = (
    "sslobj",  # urllib3's SSLTransport: TLS in TLS
    "ssl_obj",  # httpcore's TLSinTLSStream
    "_ssl_object",  # trio.SSLStream, anyio's TLSStream
    "_network_stream",  # httpcore's HTTP11Connection and HTTP2Connection
    "_connection",  # httpcore's HTTPConnection and TunnelHTTPConnection
    "sock",  # http.client and urllib3 connections, smtplib, imaplib, ftplib
    "socket",  # websockets, tornado
    "transport",  # aiohttp connections, asyncio protocols and writers
)
_TLS = (StdlibSocket, StdlibObject, Gate)
_LONGEST = 8  # steps from the outermost object to the TLS object; httpx over a proxy takes four


@overload
def assert_pinned(
    connection: object, host: str | None = None, *, strict: Literal[True] = True
) -> Verdict: ...


@overload
def assert_pinned(
    connection: object, host: str | None = None, *, strict: bool
) -> Verdict | None: ...


def assert_pinned(
    connection: object, host: str | None = None, *, strict: bool = True
) -> Verdict | None:
    """Raise an error unless a ``PinnedSSLContext`` checked this open connection for its host.

    Call the function after connecting and before you send a secret, or in a test. It does no I/O.
    Not checked: whether the pin set was replaced since the connection was made, whether the library
    uses this connection for the next request, and whether it still has data that came before TLS
    (STARTTLS with asyncio: docs/guides/python-clients.md).

    Args:
        connection: A socket or ``SSLObject``, or the object of a library that holds one: a
            connection of http.client, urllib3, httpcore or aiohttp, a network stream of httpcore
            (``response.extensions["network_stream"]``), an asyncio transport or stream writer.
        host: The host that the connection must have been checked for, as in the URL. By default, it
            can be any host.
        strict: Refuse a host without a policy. If ``False``, also accept a connection to such a
            host if its context was created with ``strict=False``.

    Returns:
        The verdict: which pin matched, or why the connection was accepted without a matching pin
        (``report`` mode, expired pins that fail open, the debug override). ``None`` if no policy
        covers the host, which only ``strict=False`` accepts.

    Raises:
        UncheckedConnectionError: There is no TLS, the TLS is not that of a ``PinnedSSLContext``,
            the handshake is not finished, TLS or the connection was closed or begins to close, or
            the check was for another host.
        UnpinnedHostError: The context checked the connection, but no policy covers the host.
        PinError: The connection was refused.
        HostError: ``host`` is not a host name or address.
    """
    wanted = None if host is None else normalise(host)
    check = _accepted_check(_tls_of(connection))
    checked = check.target.host
    if wanted not in (None, checked):
        raise UncheckedConnectionError(
            f"{wanted} refused: this connection was checked for {checked}",
            host=wanted or "",
            fix="use a connection for each host",
        )
    if check.target.policy is None and strict:
        raise UnpinnedHostError(
            f"{checked} refused: the pin set has no policy for it",
            host=checked,
            fix=f"certpin add {checked}, or assert_pinned(connection, strict=False)",
        )
    return check.verdict


def pins_hold(connection: object) -> bool:
    """Return True if the pins in force accept an open connection that is used again.

    The pinned clients call this function before they send a request on a connection that they kept.
    If the result is False, they close the connection and make a new one. The function does no I/O.

    Args:
        connection: As for ``assert_pinned``. The result is False if that would raise an error.
    """
    try:
        check = _accepted_check(_tls_of(connection))
    except ssl.SSLError:  # a PinError is one, too
        return False
    return check.holds()


def _tls_of(connection: object) -> object:
    """Return the TLS object inside a library's connection.

    If there is no TLS object inside, return the innermost object that was found.

    Raises ``UncheckedConnectionError`` if an asyncio transport or stream writer inside the
    connection is closed or closing.
    """
    current: Any = connection
    for _ in range(_LONGEST):
        if isinstance(current, _TLS) or _gate_of(current):
            break
        ask = getattr(current, "is_closing", None)  # asyncio, uvloop: without a word to TLS
        if callable(ask) and ask():
            raise UncheckedConnectionError(
                f"this connection is not pinned: {type(current).__name__} is closed",
                fix="connect again",
            )
        following = _inner(current)
        if following is None:
            break
        current = following
    return current


def _inner(outer: Any) -> Any:
    if isinstance(outer, OpenSSLSocket):  # httpcore's synchronous streams return it
        return outer.owner
    ask = getattr(outer, "get_extra_info", None)
    if callable(ask) and (found := ask("ssl_object")) is not None:
        return found
    for name in _INWARD:
        found = getattr(outer, name, None)
        if found is not None and not callable(found):
            return found
    return None


def _gate_of(tls: Any) -> Gate | None:
    gate = tls if isinstance(tls, Gate) else getattr(tls, "_sslobj", None)
    return gate if isinstance(gate, Gate) else None


def _accepted_check(tls: Any) -> PinCheck:
    """Return the pin check that accepted the connection of a TLS object, such as an ``SSLSocket``.

    Raises ``UncheckedConnectionError`` if no check has accepted the connection yet, or the error of
    the refusal if the connection was refused.
    """
    gate = _gate_of(tls)
    if gate is not None:
        gate.raise_refusal()
    check: PinCheck | None = gate or getattr(tls, "_check", None)
    if not (isinstance(tls, Pinned) or gate) or check is None:
        raise UncheckedConnectionError(
            f"this connection is not pinned: {type(tls).__name__} is not TLS of a "
            "PinnedSSLContext; it may be closed already",
            fix=_PINNED,
        )
    host = check.target.host
    if not check.accepted:
        raise _unchecked(host, "its pins were not checked yet", "call do_handshake() first")
    if getattr(tls, "_is_closing", False) or not (gate or isinstance(tls._sslobj, OpenSSLSocket)):
        raise _unchecked(host, "its TLS was closed", "connect again")
    return check


_PINNED = (
    "connect with the PinnedSSLContext or an adapter of certpin, and switch off what replaces "
    "TLS (HTTP/3, another TLS backend)"
)


def _unchecked(host: str, problem: str, fix: str) -> UncheckedConnectionError:
    return UncheckedConnectionError(f"{host} refused: {problem}", host=host, fix=fix)
