"""One case being played: which act comes next, and what all its connections were seen to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lab.script import BEFORE_TLS
from certpin.lab.session.alpn import HTTP2, choose
from certpin.lab.session.context import Contexts
from certpin.lab.session.protocols import HTTP, PROTOCOLS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from certpin.lab.case import CannotServeError
    from certpin.lab.evidence import Connection
    from certpin.lab.script import Act, Script
    from certpin.lab.session.application import Application, Starting, Where
    from certpin.lab.session.hello import ClientHello
    from certpin.lab.transport.front import Reached


class Play:
    """Hands out the acts of a script, in the order in which connections come.

    ``hosts`` are the first and the second host under test, and the one that a redirect may lead
    to. ``clients`` is PEM of the client certificates that are good. ``trouble`` is set where the
    lab itself could not serve what it should.
    """

    def __init__(
        self,
        script: Script,
        where: Where,
        hosts: tuple[str, ...],
        protocol: str = "http",
        clients: str = "",
    ) -> None:
        self.script = script
        self.where = where
        self.connections: list[Connection] = []
        self.trouble: CannotServeError | None = None
        self.upstream: Reached | None = None  # where acts that pass through lead
        self.direct = where  # for clients that come to a port of the lab's without a proxy
        self._protocol = PROTOCOLS[protocol]
        self.alpn: Sequence[str] = self._protocol.alpn()
        self.contexts = Contexts(clients)
        own = zip(hosts, (script.first, script.second, script.unpinned), strict=False)
        self._acts = {host: acts for host, acts in own if acts}
        self._first = hosts[0]
        self._met = dict.fromkeys(hosts, 0)

    def tests(self, host: str) -> bool:
        """Whether a host has acts. Others pass through untouched."""
        return host in self._acts

    def opened(self, seen: Connection) -> None:
        """A connection came."""
        self.connections.append(seen)

    def failed(self, trouble: CannotServeError) -> None:
        """The lab could not serve an act."""
        self.trouble = trouble

    def next_act(self, server_name: str, target: str) -> Act:
        """The act for the next connection to the host that was asked for."""
        asked = server_name or target
        host = asked if asked in self._acts else self._first
        act = self._upcoming(host)
        self._met[host] += 1
        return act

    def _upcoming(self, host: str) -> Act:
        acts = self._acts[host]
        return acts[min(self._met[host], len(acts) - 1)]

    def clear_application(self, seen: Connection) -> Starting | None:
        """What is spoken before TLS, where something is.

        An act that tampers with that is chosen now; any other by the name in the ClientHello.
        """
        if not self._protocol.starting:
            return None
        act = self._upcoming(seen.target if seen.target in self._acts else self._first)
        if act.opening in BEFORE_TLS:
            seen.act = self.next_act("", seen.target)
        return self._protocol.starting(act, self.where)

    def application(self, act: Act, hello: ClientHello, seen: Connection) -> Application:
        """What is spoken under TLS."""
        where = self.direct if seen.via == "port" else self.where
        if self._protocol is not HTTP:
            return self._protocol.make(act, where)
        if choose(hello.alpn, self.alpn) == (HTTP2,):
            from certpin.lab.session.h2 import Http2

            return Http2(act, where)
        return self._protocol.make(act, where)
