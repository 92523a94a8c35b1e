"""The lab as a proxy, without I/O: HTTP CONNECT and SOCKS5 on one port.

The first byte distinguishes them. The lab answers for the hosts under test, and relays all other
connections unchanged.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

_SOCKS5 = 5  # RFC 1928 section 3: the version, and the first byte
_NO_AUTHENTICATION, _CONNECT = 0, 1
_ADDRESS_SIZES = {1: 4, 4: 16}  # RFC 1928 section 5: IPv4 and IPv6
_NAME = 3
_NO_SUCH_ADDRESS = b"\5\x08\0\1\0\0\0\0\0\0"  # address type not supported
_UNSUPPORTED = b"\5\7\0\1\0\0\0\0\0\0"  # command not supported
_PORT_DIGITS = 5
_LONGEST_HEAD = 16 * 1024


@dataclass(frozen=True)
class Destination:
    """The host and port that a client requested, and how (``via``).

    ``plain`` is set for a request in clear text.
    """

    via: str
    host: str
    port: int
    plain: bool = False


class ProxyRequest:
    """Parses a client's proxy request (HTTP or SOCKS5). The result is ``reached`` or ``failed``.

    ``rest`` holds the bytes after the request, which belong to the connection itself.
    """

    def __init__(self) -> None:
        self.reached: Destination | None = None
        self.failed = ""
        self.rest = bytearray()
        self._out = bytearray()
        self._greeted = False

    def data_to_send(self) -> bytes:
        """Return the bytes to send to the client, and clear them."""
        data = bytes(self._out)
        self._out.clear()
        return data

    def receive(self, data: bytes) -> None:
        """Process bytes from the client. Never raises."""
        if self.failed or self.reached:
            return
        self.rest += data
        try:
            if self._greeted or self.rest[0] == _SOCKS5:
                self._socks5()
            else:
                self._http()
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
        self._out += b"\5\0\0\1\0\0\0\0\0\0"  # succeeded; the bound address is not disclosed
        self.reached = Destination("socks5", host, port)

    def _http(self) -> None:
        end = self.rest.find(b"\r\n\r\n")
        if end < 0:
            if len(self.rest) > _LONGEST_HEAD or self.rest[:1] == b"\x16":
                raise ValueError("no HTTP request")
            return
        method, _, target = self.rest.partition(b"\r\n")[0].decode("ascii").partition(" ")
        target = target.partition(" ")[0]
        if method == "CONNECT":
            self.reached = Destination("connect", *_authority(target, 443))
            del self.rest[: end + 4]
            self._out += b"HTTP/1.1 200 Connection established\r\n\r\n"
        elif target.startswith("http://"):
            authority = target.removeprefix("http://").partition("/")[0]
            self.reached = Destination("connect", *_authority(authority, 80), plain=True)
        else:
            raise ValueError(f"{method[:20]!r} of something that is no address")


def _exactly(data: bytearray, start: int, end: int) -> bytes:
    if len(data) < end:
        raise IndexError
    return bytes(data[start:end])


def _authority(text: str, default: int) -> tuple[str, int]:
    """Return the host and port of ``host:port``, the host without brackets.

    ``default`` is the port if there is none. Raises ``ValueError`` if the text is invalid.
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
    """Return the requested host in lower case without a final dot.

    Raises ``ValueError`` for an empty host or a port outside 1 to 65535.
    """
    host = host.lower().removesuffix(".")
    if not host or not 0 < port <= 65_535:  # RFC 9293 section 3.1: 16 bits
        raise ValueError("an address without a host or a port")
    return host
