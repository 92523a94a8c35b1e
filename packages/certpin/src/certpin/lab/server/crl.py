"""Lists of revoked certificates (CRLs), which the lab serves over HTTP in clear text.

RFC 5280 section 8 gives the reason for HTTP: a CRL is signed, and a client that fetched CRLs over
TLS would need a CRL for that server too. So a request for a CRL is no leak of data, and the
client's reaction to a case is judged without the connections to fetch CRLs.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from certpin.lab.case import CannotServeError
from certpin.lab.scenario import RevocationList
from certpin.lab.server.conversation import Unrelayed
from certpin.lab.server.port import Port

if TYPE_CHECKING:
    from certpin.lab.server.port import Loop


_LONGEST_REQUEST = 16 * 1024  # bytes
_END = b"\r\n\r\n"


class RevocationLists:
    """Serves the revocation lists (CRLs) of a lab run over HTTP, on a port of 127.0.0.1.

    All CRLs share the port, so the lab knows the URL of a CRL before it makes the certificate that
    contains this URL. Don't use this class in the event loop's thread.

    Raises:
        CannotServeError: no port is left.
    """

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._lists: dict[str, RevocationList] = {}
        try:
            self._port = loop.call(self._listen)
        except OSError as exc:
            raise CannotServeError(f"the lab cannot listen: {exc.strerror}") from exc

    @property
    def address(self) -> tuple[str, int]:
        """The IP address and the port in the URLs of the CRLs."""
        return "127.0.0.1", self._port.number

    def add(self) -> RevocationList:
        """Add an empty CRL with a new URL, and return it.

        The caller sets the CRL's content, the attribute ``der``.
        """
        path = f"/{secrets.token_hex(8)}.crl"
        host, port = self.address
        made = self._lists[path] = RevocationList(f"http://{host}:{port}{path}")
        return made

    def close(self) -> None:
        """Stop serving the lists, and close the port."""
        self._loop.call(self._port.close)

    def _listen(self) -> Port:
        return Port(self._loop.asyncio, lambda: ListRequest(self._lists))


class ListRequest(Unrelayed):
    """Handles one client's connection with one HTTP request for a CRL.

    ``lists`` are the CRLs by the path of their URL. A request for another path gets status 404.
    Like every ``Conversation``, this class does no I/O.
    """

    def __init__(self, lists: dict[str, RevocationList]) -> None:
        self.done = False
        self._lists = lists
        self._head = bytearray()

    def receive(self, data: bytes) -> None:
        """Process bytes from the client, and prepare the response to a complete request.

        The connection ends without a response if the client closes it first, or its request is too
        long.
        """
        if self.done:
            return
        self._head += data
        self.done = _END in self._head or not data or len(self._head) > _LONGEST_REQUEST
        if _END in self._head:
            self._answer()

    def _answer(self) -> None:
        target = bytes(self._head.partition(b"\r\n")[0]).split(b" ")[1:2]
        path = f"/{b''.join(target).decode('ascii', 'replace').rpartition('/')[2]}"
        found = self._lists.get(path)
        if found is None:
            self._out = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
            return
        found.fetched = True
        head = (
            "HTTP/1.1 200 OK\r\nContent-Type: application/pkix-crl\r\n"  # RFC 2585 section 4.2
            f"Content-Length: {len(found.der)}\r\nConnection: close\r\n\r\n"
        )
        self._out = head.encode() + found.der
