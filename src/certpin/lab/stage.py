"""One case on ports of its own: what a client that is led there meets."""

from __future__ import annotations

import errno
import secrets
from functools import partial
from typing import TYPE_CHECKING

from certpin.lab.case import CannotServeError, Style
from certpin.lab.cast import pins_of_case
from certpin.lab.play import Play
from certpin.lab.session.application import Where
from certpin.lab.session.session import Session
from certpin.lab.transport.conversation import Proxied
from certpin.lab.transport.front import Reached
from certpin.lab.transport.port import Port
from certpin.lab.transport.relay import UPSTREAM
from certpin.lab.trouble import LabError

if TYPE_CHECKING:
    import asyncio

    from certpin.lab.case import Case
    from certpin.lab.cast import Cast
    from certpin.lab.evidence import Connection
    from certpin.lab.lab import Lab
    from certpin.lab.script import Script
    from certpin.lab.target import Target
    from certpin.pins import PinSet

# Where a machine has no IPv6: no such family, or no ::1.
_NO_IPV6 = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}


class Stage:
    """One case on its ports. A client that follows ``target`` meets it."""

    def __init__(self, lab: Lab, cast: Cast, case: Case, script: Script) -> None:
        self.case = case
        self.script = script
        self._lab = lab
        self._where = Where(f"lab-answer-{secrets.token_hex(8)}")
        self.hosts = (cast.host, cast.second, cast.unpinned)
        clients = lab.authorities.client.chain_pem.decode()
        self._play = Play(script, self._where, self.hosts, lab.protocol, clients)
        if lab.upstream:
            self._play.upstream = Reached(UPSTREAM, *lab.upstream.address)
        self._cast = cast

    def open(self) -> Target:
        """Listen. Raises ``LabError`` where there is no port left, or ``CannotServeError``."""
        try:
            self._ports = self._lab.loop.call(self._listen)
        except OSError as exc:
            raise LabError(
                f"the lab cannot listen: {exc.strerror}",
                fix="let it run fewer at once (--jobs 1), or raise the limit: ulimit -n 4096",
            ) from exc
        port, proxy = self._ports
        return self._lab.target(self.case, self._cast, port.number, proxy.number)

    @property
    def token(self) -> str:
        """What every answer holds."""
        return self._where.token

    @property
    def pins(self) -> PinSet | None:
        """What the client has pinned; ``None`` for one without pins."""
        return None if self._lab.style is Style.NONE else pins_of_case(self.case, self._cast)

    def _listen(self) -> tuple[Port, Port]:
        loop = self._lab.loop.asyncio
        port = _port(loop, self._play, listening_address(self._cast.host))
        try:
            proxy = Port(loop, partial(Proxied, self._play))
        except OSError:
            port.close()
            raise
        self._where.lead(self.hosts)
        self._play.direct = Where(self.token)
        self._play.direct.lead(self.hosts, port.number)
        return port, proxy

    def close(self) -> tuple[Connection, ...]:
        """Stop listening; what was seen.

        Raises ``CannotServeError`` for what it could not do, where nothing was given away.
        """
        self._lab.loop.call(self._shut)
        leaked = any(each.exposed and each.said for each in self._play.connections)
        if self._play.trouble and not leaked:
            raise self._play.trouble
        return tuple(self._play.connections)

    def _shut(self) -> None:
        for port in self._ports:
            port.close()


def listening_address(host: str) -> str:
    """Where the lab listens for a host."""
    return "::1" if host == "::1" else "127.0.0.1"


def _port(loop: asyncio.AbstractEventLoop, play: Play, address: str) -> Port:
    try:
        return Port(loop, partial(Session, play), (address, 0))
    except OSError as exc:
        if ":" in address and exc.errno in _NO_IPV6:
            raise CannotServeError(
                "this machine has no IPv6", fix="switch it on for the loopback interface: ::1"
            ) from exc
        raise
