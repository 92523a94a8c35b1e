"""The state of a running case: its next step, and the evidence of its connections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lab.scenario import BEFORE_TLS
from certpin.lab.server.protocols import HTTP, HTTP2, PROTOCOLS, choose
from certpin.lab.server.tls import Contexts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from certpin.lab.case import CannotServeError
    from certpin.lab.evidence import Connection
    from certpin.lab.scenario import Scenario, ServerStep
    from certpin.lab.server.application import AnswerContext, Application, Starting
    from certpin.lab.server.hello import ClientHello
    from certpin.lab.server.proxy import Destination


class CaseRun:
    """A running case: assigns the scenario's steps to connections, and keeps their evidence.

    A step is how the lab serves one connection. Steps are assigned in the order in which
    connections arrive. ``hosts`` are the first and the second host under test, and the one that a
    redirect may lead to. ``clients`` is PEM of the accepted client certificates. ``error`` is set
    if the lab could not serve a step.
    """

    def __init__(
        self,
        scenario: Scenario,
        answer_context: AnswerContext,
        hosts: tuple[str, ...],
        protocol: str = "http",
        clients: str = "",
    ) -> None:
        self.scenario = scenario
        self.answer_context = answer_context
        self.connections: list[Connection] = []
        self.error: CannotServeError | None = None
        self.upstream: Destination | None = None  # the real server to which steps are relayed
        self.direct = answer_context  # for clients that connect to the port of the lab directly
        self._protocol = PROTOCOLS[protocol]
        self.alpn: Sequence[str] = self._protocol.alpn()
        self.contexts = Contexts(clients)
        own = zip(hosts, (scenario.first, scenario.second, scenario.unpinned), strict=False)
        self._steps = {host: steps for host, steps in own if steps}
        self._first = hosts[0]
        self._met = dict.fromkeys(hosts, 0)

    def tests(self, host: str) -> bool:
        """Return True if the scenario has steps for this host. Other hosts are relayed to."""
        return host in self._steps

    def opened(self, seen: Connection) -> None:
        """Add a new connection to the evidence of the case."""
        self.connections.append(seen)

    def failed(self, error: CannotServeError) -> None:
        """Store the error of a step that the lab could not serve."""
        self.error = error

    def next_step(self, server_name: str, target: str) -> ServerStep:
        """Return the step that serves a new connection to the requested host.

        Each call moves on to the host's next step; its last step repeats.
        """
        asked = server_name or target
        host = asked if asked in self._steps else self._first
        step = self._upcoming(host)
        self._met[host] += 1
        return step

    def _upcoming(self, host: str) -> ServerStep:
        steps = self._steps[host]
        return steps[min(self._met[host], len(steps) - 1)]

    def clear_application(self, seen: Connection) -> Starting | None:
        """Return the server of the part before TLS; None if the protocol begins with TLS.

        If the step tampers with this part, the connection's step is chosen now. Any other is chosen
        later, by the name in the ClientHello.
        """
        if not self._protocol.starting:
            return None
        step = self._upcoming(seen.target if seen.target in self._steps else self._first)
        if step.opening in BEFORE_TLS:
            seen.step = self.next_step("", seen.target)
        return self._protocol.starting(step, self.answer_context)

    def application(self, step: ServerStep, hello: ClientHello, seen: Connection) -> Application:
        """Return the server of the application protocol that this connection speaks under TLS."""
        answer_context = self.direct if seen.via == "port" else self.answer_context
        if self._protocol is not HTTP:
            return self._protocol.make(step, answer_context)
        if choose(hello.alpn, self.alpn) == (HTTP2,):
            from certpin.lab.server.h2 import Http2

            return Http2(step, answer_context)
        return self._protocol.make(step, answer_context)
