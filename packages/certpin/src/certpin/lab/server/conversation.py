"""State machines for one client's connection to the lab, through the lab's proxy or routed. No I/O.

The proxy accepts HTTP CONNECT and SOCKS5 on one port; the first byte distinguishes them. The lab
itself serves connections to the hosts under test. It relays connections to other hosts unchanged if
the client is a device, or if the hosts under test have real servers; otherwise it refuses them.
"""

from __future__ import annotations

import ipaddress
import re
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol

from certpin.lab.scenario import PROXY_STEP
from certpin.lab.server.http import field, refuse_host, refuse_tunnel
from certpin.lab.server.records import HelloReader, NotTLSError
from certpin.lab.server.session import Destination, Session
from certpin.lab.verdict import KEPT, Connection
from certpin.x509 import address_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from certpin.lab.server.session import CaseRun


class Conversation(Protocol):
    """Interface of a state machine for the lab's side of one client's connection, without I/O.

    The owner of the socket passes the client's bytes to ``receive``, and then sends the bytes that
    ``data_to_send`` returns. If ``passing`` is set, the owner relays the connection to that server.
    """

    @property
    def done(self) -> bool:
        """True if the connection must be closed after the remaining bytes are sent."""

    @property
    def passing(self) -> Destination | None:
        """The server to relay the connection to; None if the lab serves it."""

    @property
    def early(self) -> bytes:
        """The client's bytes that were read before relaying began. The relay sends them first."""

    def passed(self, data: bytes, *, back: bool) -> None:
        """Update the recorded evidence with bytes that were relayed between client and server.

        Args:
            data: the bytes; empty if their sender closed the connection.
            back: True if the server sent the bytes, False if the client did.
        """

    @property
    def resets(self) -> bool:
        """True if the lab must close the connection with a TCP reset once ``done`` is True."""

    @property
    def pause(self) -> float:
        """Seconds for which the lab keeps the client waiting; zero if it doesn't.

        After this time, the owner of the socket calls ``resume``.
        """

    def resume(self) -> None:
        """Continue to serve the client after the wait. The caller then sends ``data_to_send()``."""

    def data_to_send(self) -> bytes:
        """Return the bytes to send to the client, and remove them from the buffer."""

    def receive(self, data: bytes) -> None:
        """Process bytes from the client. Empty bytes mean that the client closed the connection."""


class Proxied:
    """Handles a connection to the lab's proxy: the proxy request, then the traffic with the host.

    Args:
        serve: takes the requested destination, and the head of the HTTP request (empty for SOCKS5).
            It returns the conversation (protocol state machine) that serves the destination; None
            if the connection must be relayed to the destination.
        note_unserved: called with the head of an HTTP request that has no valid destination, to
            record it as evidence.
    """

    def __init__(
        self,
        serve: Callable[[Destination, bytes], Conversation | None],
        note_unserved: Callable[[bytes], None] = lambda _: None,
    ) -> None:
        self.done = False
        self.passing: Destination | None = None
        self._serve = serve
        self._note_unserved = note_unserved
        self._front = ProxyRequest()
        self._inner: Conversation | None = None

    @property
    def early(self) -> bytes:
        """The client's bytes that were read before relaying began. The relay sends them first."""
        return self._inner.early if self._inner else bytes(self._front.rest)

    @property
    def resets(self) -> bool:
        """True if the lab must close the connection with a TCP reset once ``done`` is True."""
        return self._inner is not None and self._inner.resets

    @property
    def pause(self) -> float:
        """Seconds for which the lab keeps the client waiting; zero if it doesn't.

        After this time, the owner of the socket calls ``resume``.
        """
        return self._inner.pause if self._inner else 0.0

    def resume(self) -> None:
        """Continue to serve the client after the wait. The caller then sends ``data_to_send()``."""
        if self._inner:
            self._inner.resume()
            self.done = self._inner.done

    def passed(self, data: bytes, *, back: bool) -> None:
        """Update the recorded evidence with bytes that were relayed between client and server.

        Args:
            data: the bytes; empty if their sender closed the connection.
            back: True if the server sent the bytes, False if the client did.
        """
        if self._inner:
            self._inner.passed(data, back=back)

    def data_to_send(self) -> bytes:
        """Return the bytes to send to the client, and remove them from the buffer."""
        return self._front.data_to_send() + (self._inner.data_to_send() if self._inner else b"")

    def receive(self, data: bytes) -> None:
        """Process bytes from the client. Empty bytes mean that the client closed the connection."""
        if self._inner:
            self._hand_on(data)
            return
        if not (self.done or self.passing):
            self._ask(data)
        self.done = self.done or not data

    def _ask(self, data: bytes) -> None:
        self._front.receive(data)
        if self._front.failed:
            self._note_unserved(self._front.head)
            self._refuse()
        elif self._front.reached:
            self._begin(self._front.reached)

    def _refuse(self) -> None:
        """Close the connection: its first bytes are no request that a proxy relays."""
        self.done = True

    def _begin(self, reached: Destination) -> None:
        self._inner = self._serve(reached, self._front.head)
        if isinstance(self._inner, (RefusedTunnel, RefusedHost)):
            self._front.retract()
            self.done = True
        if self._inner is None and self._front.relayable:
            self.passing = reached
        elif self._inner is None:
            self._refuse()
        elif self._front.rest:
            self._hand_on(bytes(self._front.rest))

    def _hand_on(self, data: bytes) -> None:
        assert self._inner is not None  # noqa: S101  # the callers check this
        self._inner.receive(data)
        self.done = self._inner.done
        self.passing = self._inner.passing


class Unrelayed:
    """Base class of connection handlers that send one answer, and relay nothing to a server.

    It implements ``Conversation``. The handler never waits before it continues.
    """

    passing: Destination | None = None
    early = b""
    resets = False
    pause = 0.0
    _out = b""

    def passed(self, data: bytes, *, back: bool) -> None:
        """Do nothing, because the lab never relays this connection. The arguments aren't used."""

    def resume(self) -> None:
        """Do nothing, because the lab never pauses this connection."""

    def data_to_send(self) -> bytes:
        """Return the answer to the client, and remove it from the buffer."""
        data, self._out = self._out, b""
        return data


class RefusedTunnel(Unrelayed):
    """A connection on which the lab's proxy answers a CONNECT request itself, and opens no tunnel.

    ``seen`` is the evidence of the connection. Bytes that the client sends after the answer are
    recorded as its data in clear text, unless they begin TLS or another CONNECT request. If the
    client repeats its request with credentials after an answer with status 407, the credentials are
    recorded too: the lab's proxy has no password, so they belong to another server.

    Args:
        case_run: the running case. Its scenario has the HTTP status of the answer.
        reached: the destination that the client requested.
        head: the head of the client's HTTP request.
    """

    done = True

    def __init__(self, case_run: CaseRun, reached: Destination, head: bytes) -> None:
        self.seen = Connection(reached.via, reached.host, PROXY_STEP, tampered=True)
        status = case_run.scenario.proxy_status
        asked = any(seen.step is PROXY_STEP for seen in case_run.connections)
        if asked and status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
            credentials = field(head, b"proxy-authorization") or field(head, b"authorization")
            self.seen.clear = credentials[:KEPT]
        self._out = refuse_tunnel(status, case_run.answer_context)
        case_run.opened(self.seen)

    def receive(self, data: bytes) -> None:
        """Record bytes of the client as clear text, unless they begin TLS or another CONNECT.

        A client that begins TLS or repeats CONNECT has sent no data, so those bytes are ignored.
        """
        if self.seen.clear or not data.startswith((b"\x16", b"CONNECT ")):
            self.seen.clear += data[: KEPT - len(self.seen.clear)]


_NOT_ALLOWED = b"\5\2\0\1\0\0\0\0\0\0"  # RFC 1928 section 6: not allowed by ruleset


class RefusedHost(Unrelayed):
    """A connection on which the lab's proxy refuses to lead to a host that is not under test.

    The client gets an error: status 403 of HTTP, or "not allowed" of SOCKS5. The proxy does not
    resolve the name of the host, and connects to nothing. ``reached`` is the destination that the
    client requested.
    """

    done = True

    def __init__(self, reached: Destination) -> None:
        self._out = _NOT_ALLOWED if reached.via == "socks5" else refuse_host()

    def receive(self, data: bytes) -> None:
        """Ignore bytes that the client sends after its request."""


class Routed:
    """A connection that was routed to the lab without a proxy request, for example by the tunnel.

    If the destination is under test, the lab serves the connection. Otherwise the name in the
    ClientHello decides: the lab serves the connection if this is the name of a host under test. All
    other connections are relayed, also those without TLS.
    """

    def __init__(self, case_run: CaseRun, destination: Destination) -> None:
        self.done = False
        self.passing: Destination | None = None
        self._hello = HelloReader()
        self._case_run = case_run
        self._destination = destination
        self._session: Session | None = None
        if case_run.tests(destination.host):
            self._begin(destination.host)

    @property
    def early(self) -> bytes:
        """The client's bytes that were read before relaying began. The relay sends them first."""
        return self._session.early if self._session else bytes(self._hello.raw)

    @property
    def resets(self) -> bool:
        """True if the lab must close the connection with a TCP reset once ``done`` is True."""
        return self._session is not None and self._session.resets

    @property
    def pause(self) -> float:
        """Seconds for which the lab keeps the client waiting; zero if it doesn't.

        After this time, the owner of the socket calls ``resume``.
        """
        return self._session.pause if self._session else 0.0

    def resume(self) -> None:
        """Continue to serve the client after the wait. The caller then sends ``data_to_send()``."""
        if self._session:
            self._session.resume()
            self.done = self._session.done

    @property
    def decided(self) -> bool:
        """True if the lab has decided to serve the connection or to relay it.

        Until then it waits for the client's ClientHello.
        """
        return self._session is not None or self.passing is not None

    def passed(self, data: bytes, *, back: bool) -> None:
        """Update the recorded evidence with bytes that were relayed between client and server.

        Args:
            data: the bytes; empty if their sender closed the connection.
            back: True if the server sent the bytes, False if the client did.
        """
        if self._session:
            self._session.passed(data, back=back)

    def data_to_send(self) -> bytes:
        """Return the bytes to send to the client, and remove them from the buffer."""
        return self._session.data_to_send() if self._session else b""

    def receive(self, data: bytes) -> None:
        """Process bytes from the client. Empty bytes mean that the client closed the connection."""
        if self._session:
            self._session.receive(data)
            self.done = self._session.done
            self.passing = self._session.passing
        elif data:
            self._look(data)
        else:
            self.done = True

    def silent(self) -> None:
        """Relay the connection if the lab has not yet decided whether to serve it or to relay it.

        The tunnel calls this if the client sends nothing at first: in SMTP and SSH, for example,
        the server speaks first.
        """
        if not self.decided:
            self.passing = self._destination

    def _look(self, data: bytes) -> None:
        try:
            hello = self._hello.feed(data)
        except NotTLSError:
            self.passing = self._destination
            return
        if hello is None:
            return
        name = hello.server_name.rstrip(".")
        if not self._case_run.tests(name):
            self.passing = self._destination
            return
        self._begin(name)
        self.receive(bytes(self._hello.raw))

    def _begin(self, host: str) -> None:
        to = self._destination
        self._session = Session(self._case_run, via=to.via, target=host, port=to.port)


_SOCKS5 = 5  # RFC 1928 section 3: the version, and the first byte
_NO_AUTHENTICATION, _CONNECT = 0, 1
_ADDRESS_SIZES = {1: 4, 4: 16}  # RFC 1928 section 5: IPv4 and IPv6
_NAME = 3
_NO_SUCH_ADDRESS = b"\5\x08\0\1\0\0\0\0\0\0"  # address type not supported
_UNSUPPORTED = b"\5\7\0\1\0\0\0\0\0\0"  # command not supported
_PORT_DIGITS = 5
_LONGEST_HEAD = 16 * 1024
_URL = re.compile(r"([a-z][a-z0-9+.-]*)://([^/?#]*)", re.IGNORECASE)  # RFC 3986 section 3
_SECURE_SCHEMES = {"https", "wss"}


class ProxyRequest:
    """Parses a client's request to the lab's proxy: HTTP or SOCKS5.

    Attributes:
        reached: the requested destination, once the request is complete.
        failed: the reason why the bytes are no valid request; empty for valid bytes.
        rest: the bytes after the request, which belong to the connection to the destination.
        head: the head of an HTTP request, with its empty line; empty for SOCKS5. If the client
            closed the connection, or the head is too long, it is the part that arrived.
        relayable: False for a request in clear text that must not be relayed to any server, because
            its head is incomplete, its URL begins with ``https://``, or it is addressed to a server
            and not to a proxy.
    """

    def __init__(self) -> None:
        self.head = b""
        self.reached: Destination | None = None
        self.failed = ""
        self.relayable = True
        self.rest = bytearray()
        self._out = bytearray()
        self._success = b""  # the reply to a request for a tunnel, which is the last in ``_out``
        self._greeted = False

    def data_to_send(self) -> bytes:
        """Return the bytes to send to the client, and remove them from the buffer."""
        data = bytes(self._out)
        self._out.clear()
        return data

    def retract(self) -> None:
        """Remove the reply of success, which was not sent yet, because the request is refused."""
        del self._out[len(self._out) - len(self._success) :]

    def receive(self, data: bytes) -> None:
        """Process bytes of the request from the client. Never raises.

        Empty bytes mean that the client closed the connection.
        """
        if self.failed or self.reached:
            return
        self.rest += data
        try:
            if self._greeted or self.rest[0] == _SOCKS5:
                self._socks5()
            else:
                self._http(closed=not data)
        except IndexError:
            return  # the request is incomplete
        except ValueError as exc:
            self.failed = f"not a request to a proxy: {exc}"

    def _socks5(self) -> None:
        if not self._greeted:
            end = 2 + self.rest[1]
            methods = _exactly(self.rest, 2, end)
            del self.rest[:end]
            self._greeted = True
            accepted = _NO_AUTHENTICATION in methods
            self._out += b"\5\0" if accepted else b"\5\xff"
            if not accepted:
                raise ValueError("SOCKS5 with a password")
        version, command, _, kind = _exactly(self.rest, 0, 4)
        if version != _SOCKS5 or command != _CONNECT:
            self._out += _UNSUPPORTED
            raise ValueError("a SOCKS5 command other than CONNECT")
        if kind != _NAME and kind not in _ADDRESS_SIZES:
            self._out += _NO_SUCH_ADDRESS
            raise ValueError("a SOCKS5 address of no known kind")
        start, size = (5, self.rest[4]) if kind == _NAME else (4, _ADDRESS_SIZES[kind])
        address = _exactly(self.rest, start, start + size)
        port = int.from_bytes(_exactly(self.rest, start + size, start + size + 2))
        del self.rest[: start + size + 2]
        host = address.decode("ascii") if kind == _NAME else str(ipaddress.ip_address(address))
        host = _checked(host, port)
        self._success = b"\5\0\0\1\0\0\0\0\0\0"  # the bound address is not disclosed
        self._out += self._success
        self.reached = Destination("socks5", host, port)

    def _http(self, *, closed: bool) -> None:
        if self.rest[:1] == b"\x16":
            raise ValueError("TLS in place of an HTTP request")
        end = self.rest.find(b"\r\n\r\n")
        whole = end >= 0
        if not (whole or closed or len(self.rest) > _LONGEST_HEAD):
            return
        self.head = bytes(self.rest[: end + 4] if whole else self.rest)
        line = self.head.partition(b"\n")[0].decode("latin-1").rstrip("\r")
        method, _, target = line.partition(" ")
        target = target.partition(" ")[0]
        if method != "CONNECT":
            self._plain(target, whole=whole)
        elif whole:
            self.reached = Destination("connect", *_authority(target, 443))
            del self.rest[: end + 4]
            self._success = b"HTTP/1.1 200 Connection established\r\n\r\n"
            self._out += self._success
        else:
            raise ValueError("CONNECT without the end of its head")

    def _plain(self, target: str, *, whole: bool) -> None:
        """Set ``reached`` to the destination of a request in clear text, from its URL or ``Host``.

        ``relayable`` is set to False for two kinds of requests that a proxy can't serve: those with
        an ``https://`` URL, and those with only a path, which are meant for a server. They are
        still read as evidence, because the client has sent them without TLS.

        Args:
            target: the URL or path in the request line.
            whole: True if the head of the request is complete; otherwise it is not relayable
                either.

        Raises:
            ValueError: ``target`` is no URL and no path, or the host or port is invalid.
        """
        url = _URL.match(target)
        if url is None and not target.startswith("/"):
            raise ValueError("a request for something that is no address")
        scheme = url[1].lower() if url else ""
        authority = url[2] if url else field(self.head, b"host").decode("latin-1")
        self.relayable = scheme == "http" and whole
        address = _authority(authority.rpartition("@")[2], 443 if scheme in _SECURE_SCHEMES else 80)
        self.reached = Destination("connect", *address, plain=True)


def _exactly(data: bytearray, start: int, end: int) -> bytes:
    if len(data) < end:
        raise IndexError
    return bytes(data[start:end])


def _authority(text: str, default: int) -> tuple[str, int]:
    """Return the host, without brackets, and the port of ``host:port``.

    If the text has no port, the port is ``default``. Raises ``ValueError`` if the text is invalid.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit():
        host, port = text, str(default)
    number = int(port) if len(port) <= _PORT_DIGITS else 0
    bracketed = host.startswith("[") and host.endswith("]")
    if ":" in host and not bracketed:
        # RFC 3986 section 3.2.2 requires brackets; wget and http.client before Python 3.13 send
        # none.
        host = str(ipaddress.IPv6Address(host))
    return _checked(host[1:-1] if bracketed else host, number), number


def _checked(host: str, port: int) -> str:
    """Return a requested host in lower case and without a final dot; an address in canonical form.

    Raises ``ValueError`` if the host is empty or not ASCII, or the port is outside of 1 to 65535.
    """
    host = host.lower().removesuffix(".")
    if not host.isascii():
        raise ValueError("a host that is not ASCII")
    if not host or not 0 < port <= 65_535:  # RFC 9293 section 3.1: 16 bits
        raise ValueError("an address without a host or a port")
    with suppress(ValueError):  # a name
        return address_text(ipaddress.ip_address(host))
    return host
