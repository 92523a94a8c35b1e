"""What was seen: of each connection, and of the client's own end. Plain data, kept for reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from certpin.lab.scenario import Role

if TYPE_CHECKING:
    from certpin.lab.scenario import Scenario, ServerStep
    from certpin.lab.session.hello import ClientHello
    from certpin.pins import PinSet

# How many bytes of a client's words are kept. Enough to show what leaked; a client can't fill
# the lab's memory.
KEPT = 64 * 1024


@dataclass
class Connection:
    """One connection, as the lab saw it. Written by its session, read by the judge."""

    via: str = "port"  # which way the client came
    target: str = ""  # what it asked a proxy for
    step: ServerStep | None = None  # what it met; None where it never came so far
    hello: ClientHello | None = None
    tampered: bool = False  # it met what the step does before TLS, where STARTTLS is spoken
    secured: bool = False  # the handshake was finished: says nothing of acceptance
    version: str = ""
    cipher: str = ""
    alpn: str = ""
    resumed: bool = False
    client_certificate: bytes = b""
    certificate_shown: bool = False  # one that the lab cannot verify, which ended TLS
    data: bytes = b""  # application data under TLS, less what its protocol says of itself
    astray: bytes = b""  # of the data, what was meant for the step's foreign host
    clear: bytes = b""  # as data, without TLS
    # Where it was passed through to the real server: records of the client's data, whether there
    # may be some that are not known as such, and octets that the server answered.
    passed: int = 0
    unclear: bool = False
    answered: int = 0
    alert: str = ""  # the alert that the client sent, as OpenSSL names it
    problem: str = ""  # what else ended it

    @property
    def hostile(self) -> bool:
        """Whether an attacker answered."""
        return self.step is not None and self.step.role is Role.ATTACKER

    @property
    def exposed(self) -> bool:
        """Whether data on it is given away: to an attacker, a wrong host, or in clear text."""
        return bool(self.clear or self.astray) or (
            self.step is not None and self.step.role is not Role.HONEST
        )

    @property
    def said(self) -> bytes:
        """The client's data that counts: on a step with a foreign host, only what went astray."""
        if self.step and self.step.foreign:
            return self.clear + self.astray
        return self.clear + self.data


@dataclass(frozen=True)
class Ending:
    """How the client itself ended.

    ``status`` is its exit status: 0 where it reported success, negative for the signal that
    killed it, ``None`` where it had to be stopped, or did not start (``problem`` says why).
    """

    status: int | None
    output: str = ""  # the end of what it printed
    problem: str = ""

    @property
    def broken(self) -> str:
        """How it ended otherwise than by its own will, in words; empty where it did not.

        A shell tells of a signal by 128 and its number, timeout(1) of its own by 124.
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
        """Whether the client says that all is well."""
        return self.status == 0


@dataclass(frozen=True)
class Attempt:
    """One run of the client against one case: what the lab saw, and what the client said."""

    ending: Ending
    scenario: Scenario
    connections: tuple[Connection, ...] = ()
    canary: str = ""  # what the client was given to send; empty where it was given nothing
    token: str = ""  # what the lab answers with: in the client's output, it took the answer
    hosts: tuple[str, ...] = ()  # what the client was told to call, then where it may be led
    pins: PinSet | None = None  # what it has pinned; None where nothing is, or nothing is known
    seconds: float = field(default=0.0, compare=False)
