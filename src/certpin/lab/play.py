"""One case being played: which act comes next, and what all its connections were seen to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lab.session.http import Http

if TYPE_CHECKING:
    from certpin.lab.case import CannotServeError
    from certpin.lab.evidence import Connection
    from certpin.lab.script import Act, Script
    from certpin.lab.session.application import Application, Where
    from certpin.lab.session.hello import ClientHello


class Play:
    """Hands out the acts of a script, in the order in which connections come.

    ``hosts`` are the first and the second host under test. ``trouble`` is set where the lab
    itself could not serve what it should.
    """

    def __init__(
        self, script: Script, where: Where, hosts: tuple[str, str], protocol: str = "http"
    ) -> None:
        self.script = script
        self.where = where
        self.connections: list[Connection] = []
        self.trouble: CannotServeError | None = None
        self.alpn: tuple[str, ...] = ("http/1.1",)
        self._hosts = hosts
        self._protocol = protocol
        self._met = dict.fromkeys(hosts, 0)

    def tests(self, host: str) -> bool:
        """Whether a host is under test. Others pass through untouched."""
        return host in self._hosts

    def opened(self, seen: Connection) -> None:
        """A connection came."""
        self.connections.append(seen)

    def failed(self, trouble: CannotServeError) -> None:
        """The lab could not serve an act."""
        self.trouble = trouble

    def next_act(self, server_name: str, target: str) -> Act:
        """The act for the next connection to the host that was asked for."""
        first, second = self._hosts
        asked = server_name or target
        host = second if asked == second else first
        acts = self.script.second if host == second and self.script.second else self.script.first
        turn = self._met[host]
        self._met[host] += 1
        return acts[min(turn, len(acts) - 1)]

    def clear_application(self, seen: Connection) -> Application | None:
        """What is spoken before TLS, where something is."""
        return None

    def application(self, act: Act, hello: ClientHello) -> Application:
        """What is spoken under TLS."""
        return Http(act, self.where)
