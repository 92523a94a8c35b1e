"""What the lab can speak. A new protocol is one file beside this one, and one entry here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from certpin.lab.session.alpn import spoken
from certpin.lab.session.http import Http
from certpin.lab.session.imap import Imap
from certpin.lab.session.postgres import Postgres
from certpin.lab.session.smtp import Smtp

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from certpin.lab.scenario import ServerStep
    from certpin.lab.session.application import Application, Starting, Where

# What a case says that needs a protocol with STARTTLS, whichever.
STARTTLS = "starttls"


def _none() -> Sequence[str]:
    return ()


def _postgres() -> Sequence[str]:
    return ("postgresql",)  # libpq's sslnegotiation=direct insists on it


@dataclass(frozen=True)
class Spoken:
    """How a protocol is spoken, and its well-known port.

    ``make`` is for the part under TLS, ``starting`` for the part before it, where there is one.
    """

    port: int
    make: Callable[[ServerStep, Where], Application]
    starting: Callable[[ServerStep, Where], Starting] | None = None
    alpn: Callable[[], Sequence[str]] = _none


HTTP = Spoken(443, Http, alpn=spoken)

PROTOCOLS: Mapping[str, Spoken] = {
    "http": HTTP,
    "smtp": Spoken(25, Smtp, Smtp),
    "smtps": Spoken(465, partial(Smtp, implicit=True)),
    "imap": Spoken(143, Imap, Imap),
    "imaps": Spoken(993, partial(Imap, implicit=True)),
    "postgres": Spoken(5432, Postgres, Postgres, _postgres),
}


def suits(protocol: str, wanted: str) -> bool:
    """Whether a case means anything to a client of this protocol."""
    if wanted == STARTTLS:
        return PROTOCOLS[protocol].starting is not None
    return wanted in {"", protocol}
