"""One case being played: which step comes next, and what all its connections were seen to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lab.scenario import BEFORE_TLS
from certpin.lab.session.context import Contexts
from certpin.lab.session.protocols import HTTP, HTTP2, PROTOCOLS, choose

if TYPE_CHECKING:
    from collections.abc import Sequence

    from certpin.lab.case import CannotServeError
    from certpin.lab.evidence import Connection
    from certpin.lab.scenario import Scenario, ServerStep
    from certpin.lab.session.application import Application, Starting, Where
    from certpin.lab.session.hello import ClientHello
    from certpin.lab.transport.front import Reached


class CaseRun:
    """Hands out the steps of a scenario, in the order in which connections come.

    ``hosts`` are the first and the second host under test, and the one that a redirect may lead
    to. ``clients`` is PEM of the client certificates that are good. ``error`` is set where the
    lab itself could not serve what it should.
    """

    def __init__(
        self,
        scenario: Scenario,
        where: Where,
        hosts: tuple[str, ...],
        protocol: str = "http",
        clients: str = "",
    ) -> None:
        self.scenario = scenario
        self.where = where
        self.connections: list[Connection] = []
        self.error: CannotServeError | None = None
        self.upstream: Reached | None = None  # where steps that pass through lead
        self.direct = where  # for clients that come to a port of the lab's without a proxy
        self._protocol = PROTOCOLS[protocol]
        self.alpn: Sequence[str] = self._protocol.alpn()
        self.contexts = Contexts(clients)
        own = zip(hosts, (scenario.first, scenario.second, scenario.unpinned), strict=False)
        self._steps = {host: steps for host, steps in own if steps}
        self._first = hosts[0]
        self._met = dict.fromkeys(hosts, 0)

    def tests(self, host: str) -> bool:
        """Whether a host has steps. Others pass through untouched."""
        return host in self._steps

    def opened(self, seen: Connection) -> None:
        """A connection came."""
        self.connections.append(seen)

    def failed(self, error: CannotServeError) -> None:
        """The lab could not serve a step."""
        self.error = error

    def next_step(self, server_name: str, target: str) -> ServerStep:
        """The step for the next connection to the host that was asked for."""
        asked = server_name or target
        host = asked if asked in self._steps else self._first
        step = self._upcoming(host)
        self._met[host] += 1
        return step

    def _upcoming(self, host: str) -> ServerStep:
        steps = self._steps[host]
        return steps[min(self._met[host], len(steps) - 1)]

    def clear_application(self, seen: Connection) -> Starting | None:
        """What is spoken before TLS, where something is.

        A step that tampers with that is chosen now; any other by the name in the ClientHello.
        """
        if not self._protocol.starting:
            return None
        step = self._upcoming(seen.target if seen.target in self._steps else self._first)
        if step.opening in BEFORE_TLS:
            seen.step = self.next_step("", seen.target)
        return self._protocol.starting(step, self.where)

    def application(self, step: ServerStep, hello: ClientHello, seen: Connection) -> Application:
        """What is spoken under TLS."""
        where = self.direct if seen.via == "port" else self.where
        if self._protocol is not HTTP:
            return self._protocol.make(step, where)
        if choose(hello.alpn, self.alpn) == (HTTP2,):
            from certpin.lab.session.h2 import Http2

            return Http2(step, where)
        return self._protocol.make(step, where)
