"""Serve one case on its own ports."""

from __future__ import annotations

import errno
import secrets
from functools import partial
from typing import TYPE_CHECKING

from certpin.lab.case import CannotServeError, Style
from certpin.lab.case_run import CaseRun
from certpin.lab.errors import LabError
from certpin.lab.pki import pins_of_case
from certpin.lab.session.application import Where
from certpin.lab.session.session import Session
from certpin.lab.transport.conversation import Proxied
from certpin.lab.transport.front import Reached
from certpin.lab.transport.port import Port
from certpin.lab.transport.relay import UPSTREAM

if TYPE_CHECKING:
    import asyncio

    from certpin.lab.case import Case
    from certpin.lab.evidence import Connection
    from certpin.lab.lab import Lab
    from certpin.lab.pki import TestPKI
    from certpin.lab.scenario import Scenario
    from certpin.lab.target import Target
    from certpin.pins import PinSet

# The errors of a machine without IPv6: no such address family, or no ::1.
_NO_IPV6 = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}


class CaseServer:
    """Serves one case on its ports. ``open`` returns the target that a client must connect to."""

    def __init__(self, lab: Lab, pki: TestPKI, case: Case, scenario: Scenario) -> None:
        self.case = case
        self.scenario = scenario
        self._lab = lab
        self._where = Where(f"lab-answer-{secrets.token_hex(8)}")
        self.hosts = (pki.host, pki.second, pki.unpinned)
        clients = lab.authorities.client.chain_pem.decode()
        self._case_run = CaseRun(scenario, self._where, self.hosts, lab.protocol, clients)
        if lab.upstream:
            self._case_run.upstream = Reached(UPSTREAM, *lab.upstream.address)
        self._pki = pki

    def open(self) -> Target:
        """Listen, and return the target of the case.

        Raises:
            LabError: no port is left.
            CannotServeError: the machine has no IPv6, and the case needs it.
        """
        try:
            self._ports = self._lab.loop.call(self._listen)
        except OSError as exc:
            raise LabError(
                f"the lab cannot listen: {exc.strerror}",
                fix="let it run fewer at once (--jobs 1), or raise the limit: ulimit -n 4096",
            ) from exc
        port, proxy = self._ports
        return self._lab.target(self.case, self._pki, port.number, proxy.number)

    @property
    def token(self) -> str:
        """The token in every answer of the lab."""
        return self._where.token

    @property
    def pins(self) -> PinSet | None:
        """The pins of the client; ``None`` for a client without pins."""
        return None if self._lab.style is Style.NONE else pins_of_case(self.case, self._pki)

    def _listen(self) -> tuple[Port, Port]:
        loop = self._lab.loop.asyncio
        port = _port(loop, self._case_run, listening_address(self._pki.host))
        try:
            proxy = Port(loop, partial(Proxied, self._case_run))
        except OSError:
            port.close()
            raise
        self._where.lead(self.hosts)
        self._case_run.direct = Where(self.token)
        self._case_run.direct.lead(self.hosts, port.number)
        return port, proxy

    def close(self) -> tuple[Connection, ...]:
        """Stop listening, and return the evidence of every connection.

        Raises:
            CannotServeError: a step could not be served, and the client gave nothing away.
        """
        self._lab.loop.call(self._shut)
        leaked = any(each.exposed and each.said for each in self._case_run.connections)
        if self._case_run.error and not leaked:
            raise self._case_run.error
        return tuple(self._case_run.connections)

    def _shut(self) -> None:
        for port in self._ports:
            port.close()


def listening_address(host: str) -> str:
    """Return the loopback address on which the lab listens for a host."""
    return "::1" if host == "::1" else "127.0.0.1"


def _port(loop: asyncio.AbstractEventLoop, case_run: CaseRun, address: str) -> Port:
    try:
        return Port(loop, partial(Session, case_run), (address, 0))
    except OSError as exc:
        if ":" in address and exc.errno in _NO_IPV6:
            raise CannotServeError(
                "this machine has no IPv6", fix="switch it on for the loopback interface: ::1"
            ) from exc
        raise
