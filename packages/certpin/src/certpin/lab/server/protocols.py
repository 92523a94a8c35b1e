"""The protocols of the lab: the interface of their servers without I/O, and the list of them.

A new protocol is a file in this package, and one entry here.
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
    """The server of one application protocol, on one connection, in clear text and under TLS.

    ``data`` is the data of the client without the overhead of the protocol (a preface, a greeting,
    STARTTLS). ``upgrade`` means that TLS must begin now, ``closing`` that the connection ends once
    the reply is sent. No input may raise an exception. A protocol with host names also has
    ``astray``, the part of the data that is addressed to the step's foreign host. A protocol with a
    closing message has ``farewell()``.
    """

    data: bytearray
    upgrade: bool
    closing: bool

    def begin(self, *, secure: bool) -> bytes:
        """Return the bytes that the server sends first, on connection and when TLS begins."""

    def receive(self, data: bytes, *, secure: bool) -> bytes:
        """Process bytes from the client, and return the server's reply."""


class Starting(Application, Protocol):
    """The server of a protocol that begins in clear text. A new instance takes over under TLS.

    ``tampered`` is set if the client was exposed to the step's tampering before TLS. ``rest`` is
    the data after STARTTLS. A protocol that ``listens`` gets data after it closed; its replies are
    then dropped.
    """

    tampered: bool
    rest: bytes
    listens: bool


HTTP1, HTTP2 = "http/1.1", "h2"  # RFC 7301 section 6, RFC 9113 section 3.1


@cache
def spoken() -> tuple[str, ...]:
    """Return the HTTP versions that the lab speaks, best first. HTTP/2 needs the package h2."""
    return (HTTP2, HTTP1) if find_spec("h2") else (HTTP1,)


def _none() -> Sequence[str]:
    return ()


def _postgres() -> Sequence[str]:
    return ("postgresql",)  # libpq's sslnegotiation=direct insists on it


@dataclass(frozen=True)
class ProtocolSupport:
    """The lab's support for one protocol: its well-known port and its servers.

    ``make`` makes the server for the part under TLS, ``starting`` that for the part before it.
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
    """Return True if a case for the protocol ``wanted`` applies to a client of ``protocol``."""
    if wanted == STARTTLS:
        return PROTOCOLS[protocol].starting is not None
    return wanted in {"", protocol}


def choose(offered: Collection[str], spoken: Sequence[str]) -> tuple[str, ...]:
    """Return the first version of ``spoken`` that the client offers, in a tuple; else empty."""
    return tuple(version for version in spoken if version in offered)[:1]


def need_http2() -> None:
    """Check that the package h2 is installed.

    Raises:
        CannotServeError: it is not.
    """
    if HTTP2 not in spoken():
        raise CannotServeError(
            "it takes HTTP/2", fix="install certpin with its extra lab: certpin[lab]"
        )
