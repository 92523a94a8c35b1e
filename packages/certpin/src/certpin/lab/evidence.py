"""The evidence of a case: what the lab observed of each connection, and how the client ended.

Plain data, for verdicts and reports.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from certpin.lab.scenario import Role

if TYPE_CHECKING:
    from certpin.lab.scenario import Scenario, ServerStep
    from certpin.lab.server.hello import ClientHello
    from certpin.pins import PinSet

# Bytes of the client's data that are kept: enough to show a leak, and a client can't fill the
# memory of the lab.
KEPT = 64 * 1024


@dataclass
class Connection:
    """The evidence of one connection. Its session fills it in, and ``verdict`` judges it."""

    via: str = "port"  # how the client connected: port, connect, socks5 or route
    target: str = ""  # the host that it requested from a proxy
    step: ServerStep | None = None  # None if the connection ended before a step was chosen
    hello: ClientHello | None = None
    tampered: bool = False  # the step tampered with the part before STARTTLS
    secured: bool = False  # the handshake finished, which is not acceptance
    version: str = ""
    cipher: str = ""
    alpn: str = ""
    resumed: bool = False
    client_certificate: bytes = b""
    certificate_shown: bool = False  # the client sent one that the lab cannot verify
    data: bytes = b""  # application data under TLS, without the overhead of its protocol
    astray: bytes = b""  # the part of the data that was addressed to the step's foreign host
    clear: bytes = b""  # application data in clear text
    # For a connection that passed through to the real server: the number of records with client
    # data, whether there may be more that can't be recognised, and the bytes that the server sent.
    passed: int = 0
    unclear: bool = False
    answered: int = 0
    alert: str = ""  # the alert that the client sent, as OpenSSL names it
    problem: str = ""  # any other cause of its end

    @property
    def hostile(self) -> bool:
        """True if the server that answered was the attacker."""
        return self.step is not None and self.step.role is Role.ATTACKER

    @property
    def exposed(self) -> bool:
        """True if data here leaks: to an attacker, to a wrong host, or in clear text."""
        return bool(self.clear or self.astray) or (
            self.step is not None and self.step.role is not Role.HONEST
        )

    @property
    def said(self) -> bytes:
        """The client's data on which the verdict is based.

        If the step names a foreign host, this is only the data for that host and clear text.
        """
        if self.step and self.step.foreign:
            return self.clear + self.astray
        return self.clear + self.data


@dataclass(frozen=True)
class Ending:
    """How the client ended.

    ``status`` is its exit status: 0 for success, negative for the signal that killed it, ``None``
    if it was stopped or did not start (``problem`` gives the reason).
    """

    status: int | None
    output: str = ""  # the last part of its output
    problem: str = ""

    @property
    def broken(self) -> str:
        """The reason why the client was stopped or died; empty if it ended by itself.

        A shell reports a signal as 128 plus its number, and timeout(1) reports 124.
        """
        if self.problem or self.status is None:
            return self.problem or "the client was stopped"
        if self.status < 0 or 128 < self.status <= 192:
            return f"the client died (status {self.status})"
        if self.status == 124:
            return "the client was stopped (status 124, from timeout)"
        return ""

    @property
    def content(self) -> bool:
        """True if the client reported success: exit status 0."""
        return self.status == 0


@dataclass(frozen=True)
class Attempt:
    """One run of the client against one case: the connections, and how the client ended."""

    ending: Ending
    scenario: Scenario
    connections: tuple[Connection, ...] = ()
    canary: str = ""  # the marker in the URL that the client was given; empty if none
    token: str = ""  # in every answer: if the client prints it, it read the answer
    hosts: tuple[str, ...] = ()  # the host to request, then those that a redirect may lead to
    pins: PinSet | None = None  # None if the client has no pins, or they are unknown
    seconds: float = field(default=0.0, compare=False)
