"""What the connections of a case meet, one step each: plain data, made by ``attacks``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

from cryptography.hazmat.primitives.serialization import Encoding

if TYPE_CHECKING:
    from certpin.lab.authority import Identity


class Role(StrEnum):
    """The server of a step, as reports name it."""

    ATTACKER = "attacker"
    HONEST = "honest server"
    # Honest too, but the client's data has left its pins if it arrives there.
    UNPINNED = "host without pins"


class Answer(StrEnum):
    """What the server says once TLS stands, and a request came."""

    OK = "ok"  # an answer that holds the lab's own token, then the end of the connection
    KEEP = "keep"  # the same, and the connection stays open for more
    SILENT = "silent"  # nothing: the connection ends when the request is there
    REDIRECT_SAME = "redirect-same"  # to the same host, on a connection of its own
    REDIRECT_SECOND = "redirect-second"  # to the second host
    # The same, and the connection stays open for more: for requests of the second host too.
    REDIRECT_SECOND_KEEP = "redirect-second-keep"
    REDIRECT_PLAIN = "redirect-plain"  # to http:// on the same host
    REDIRECT_UNPINNED = "redirect-unpinned"  # to a host without pins


# What leaves a connection open.
KEEPING = {Answer.KEEP, Answer.REDIRECT_SECOND_KEEP}


class Opening(StrEnum):
    """What the server does before TLS."""

    TLS = "tls"  # begins TLS: at once, or when STARTTLS asks for it
    PLAIN = "plain"  # answers the ClientHello in clear text
    STRIP = "strip"  # does not offer STARTTLS
    RELAY = "relay"  # hands the connection on to the real server, untouched
    INJECT = "inject"  # appends answers of its own to the go-ahead of STARTTLS


# What tampers with the part before TLS.
BEFORE_TLS = {Opening.STRIP, Opening.INJECT}


@dataclass(frozen=True)
class TLSSettings:
    """How TLS is served. Versions and ciphers are OpenSSL's names; empty for its defaults."""

    oldest: str = "TLSv1_2"
    newest: str = "TLSv1_3"
    ciphers: str = ""
    tickets: str = ""  # steps with the same word share the keys of their session tickets
    asks_certificate: bool = False
    needs_certificate: bool = False  # and ends the handshake of a client that has none


@dataclass(frozen=True)
class ServerStep:
    """What one connection meets.

    ``chain`` is DER, exactly as it is sent, leaf first; ``key_pem`` signs the handshake, and may
    be one that does not belong to the leaf. An honest step may name a ``foreign`` host: requests
    for that host, sent here, count as given away.
    """

    chain: tuple[bytes, ...]
    key_pem: bytes
    role: Role = Role.ATTACKER
    foreign: str = ""
    settings: TLSSettings = TLSSettings()
    answer: Answer = Answer.OK
    opening: Opening = Opening.TLS

    @classmethod
    def of(cls, identity: Identity, *appended: Any, **fields: Any) -> Self:
        """A step of an identity, with certificates (``x509``) appended to its chain."""
        sent = (*identity.chain, *appended)
        chain = tuple(each.public_bytes(Encoding.DER) for each in sent)
        return cls(chain, identity.key_pem, **fields)

    def but(self, **fields: Any) -> Self:
        """The same step, with some of it changed."""
        return replace(self, **fields)


@dataclass(frozen=True)
class Scenario:
    """The steps of the host under test in the order of its connections, and of the second host.

    The last step of each repeats.
    """

    first: tuple[ServerStep, ...]
    second: tuple[ServerStep, ...] = ()
    # Whether data that is sent to an attacker counts only if the canary is in it: for clients that
    # may say one thing there, and must not say another.
    canary_only: bool = False
    unpinned: tuple[ServerStep, ...] = ()  # of a host that is not pinned, the target of a redirect
    # Whether honest servers tempt the client, to follow a redirect or to share a connection: a
    # client that does not follow has refused.
    lures: bool = False

    @classmethod
    def of(
        cls, *steps: ServerStep, second: tuple[ServerStep, ...] = (), canary_only: bool = False
    ) -> Self:
        """A scenario of these steps."""
        return cls(steps, second, canary_only)

    @classmethod
    def legitimate(cls, identity: Identity, *appended: Any) -> Self:
        """A scenario of an honest server, with certificates (``x509``) appended to its chain."""
        return cls.of(ServerStep.of(identity, *appended, role=Role.HONEST))

    @property
    def attacks(self) -> bool:
        """Whether a client can give data away here, beyond the server that it calls."""
        return self.lures or any(step.role is not Role.HONEST for step in self.steps)

    @property
    def steps(self) -> tuple[ServerStep, ...]:
        """All of them."""
        return self.first + self.second + self.unpinned


VERSIONS = {"1.2": "TLSv1_2", "1.3": "TLSv1_3"}
_ANY = TLSSettings()


def fit(scenario: Scenario, *, tls: str = "", client_certificates: bool = False) -> Scenario:
    """A scenario as this run plays it.

    ``tls`` is a key of ``VERSIONS``, or empty for both; steps that are about versions of TLS keep
    their own. With ``client_certificates``, honest servers need one: the good control then proves
    that the client has it.
    """

    def change(step: ServerStep) -> ServerStep:
        settings = step.settings
        if tls and (settings.oldest, settings.newest) == (_ANY.oldest, _ANY.newest):
            settings = replace(settings, oldest=VERSIONS[tls], newest=VERSIONS[tls])
        if client_certificates and step.role is Role.HONEST:
            settings = replace(settings, needs_certificate=True)
        return step if settings is step.settings else step.but(settings=settings)

    return replace(
        scenario,
        first=tuple(map(change, scenario.first)),
        second=tuple(map(change, scenario.second)),
        unpinned=tuple(map(change, scenario.unpinned)),
    )
