"""The application protocols of the lab: the interface of their servers, and the list of them.

The servers do no I/O. A new protocol is a file in this package, and one entry in this list.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol

from certpin.lab.case import CannotServeError
from certpin.lab.server.http import Http
from certpin.lab.server.imap import Imap
from certpin.lab.server.postgres import Postgres
from certpin.lab.server.smtp import Smtp

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from certpin.lab.scenario import AnswerContext, ServerStep


class Application(Protocol):
    """The server of one application protocol on one connection, in clear text and under TLS.

    No input raises an exception. A server can have two further members. If requests of its protocol
    name a host, ``astray`` is the data for a second host, which must not get data on this
    connection. If the protocol has a closing message, ``farewell()`` returns it.

    Attributes:
        data: the data of the client, without the overhead of the protocol (a preface, a greeting,
            STARTTLS).
        upgrade: True if TLS must begin now.
        closing: True if the connection ends once the reply is sent.
    """

    data: bytearray
    upgrade: bool
    closing: bool

    def begin(self, *, secure: bool) -> bytes:
        """Return the bytes that the server sends before the client sends anything.

        The lab calls this when a client has connected without TLS (``secure`` is False), and again
        when the TLS handshake is over (``secure`` is True). In a protocol without STARTTLS, only
        the second call is made. The result is empty if the client speaks first.
        """

    def receive(self, data: bytes, *, secure: bool) -> bytes:
        """Process bytes from the client, and return the server's reply.

        ``secure`` is True for bytes that arrived under TLS.
        """


class Starting(Application, Protocol):
    """The server of a protocol that begins in clear text. Under TLS, a new instance replaces it.

    Attributes:
        tampered: True if the client received clear text that the lab tampered with.
        rest: the bytes that arrived after the clear text, with which the client begins TLS.
        listens: True if the server also processes data that arrives after it closed the connection.
            Its replies to such data are dropped.
    """

    tampered: bool
    rest: bytes
    listens: bool


HTTP1, HTTP2 = "http/1.1", "h2"  # RFC 7301 section 6, RFC 9113 section 3.1


@cache
def spoken() -> tuple[str, ...]:
    """Return the ALPN names of the HTTP versions that the lab speaks, best first.

    HTTP/2 needs the package h2.
    """
    return (HTTP2, HTTP1) if find_spec("h2") else (HTTP1,)


def _none() -> Sequence[str]:
    return ()


def _postgres() -> Sequence[str]:
    return ("postgresql",)  # libpq's sslnegotiation=direct insists on it


@dataclass(frozen=True)
class ProtocolSupport:
    """The lab's support for one protocol.

    Attributes:
        port: the protocol's well-known port.
        make: makes the server for the part of a connection under TLS.
        starting: makes the server for the part before TLS; None if the protocol begins with TLS.
        alpn: returns the ALPN names that the lab accepts, best first.
    """

    port: int
    make: Callable[[ServerStep, AnswerContext], Application]
    starting: Callable[[ServerStep, AnswerContext], Starting] | None = None
    alpn: Callable[[], Sequence[str]] = _none


HTTP = ProtocolSupport(443, Http, alpn=spoken)
PROTOCOLS: Mapping[str, ProtocolSupport] = {
    "http": HTTP,
    "smtp": ProtocolSupport(25, Smtp, Smtp),
    "smtps": ProtocolSupport(465, partial(Smtp, implicit=True)),
    "imap": ProtocolSupport(143, Imap, Imap),
    "imaps": ProtocolSupport(993, partial(Imap, implicit=True)),
    "postgres": ProtocolSupport(5432, Postgres, Postgres, _postgres),
}
# The value of ``Case.protocol`` for any protocol with STARTTLS.
STARTTLS = "starttls"


def suits(protocol: str, wanted: str) -> bool:
    """Return True if a case applies to clients of a protocol. It can't be tested with the others.

    Args:
        protocol: the client's protocol, a key of ``PROTOCOLS``.
        wanted: the protocol that the case needs: ``starttls`` for any protocol with STARTTLS, empty
            for any protocol.
    """
    if wanted == STARTTLS:
        return PROTOCOLS[protocol].starting is not None
    return wanted in {"", protocol}


def choose(offered: Collection[str], spoken: Sequence[str]) -> tuple[str, ...]:
    """Return the ALPN name to negotiate: the first in ``spoken`` that the client offers.

    Args:
        offered: the ALPN names that the client offers.
        spoken: the ALPN names of the server, best first.

    Returns:
        A tuple with this name; empty if the client offers none of the server's names.
    """
    return tuple(version for version in spoken if version in offered)[:1]


_EXTRA = "install certpin with its extra lab: certpin[lab]"


def need_http3() -> None:
    """Check that the lab can speak HTTP/3.

    Raises:
        CannotServeError: the package aioquic is not installed.
    """
    if not find_spec("aioquic"):
        raise CannotServeError("it takes HTTP/3 (the package aioquic)", fix=_EXTRA)


def need_http2() -> None:
    """Check that the lab can speak HTTP/2.

    Raises:
        CannotServeError: the package h2 is not installed.
    """
    if HTTP2 not in spoken():
        raise CannotServeError("it takes HTTP/2 (the package h2)", fix=_EXTRA)
