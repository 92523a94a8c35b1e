"""The certificates and the times that servers presented: to a probe now, or earlier in the journal.

``Sighting`` is the answer of one server to a probe. The journal keeps a ``ServerObservation`` of
it, so that a server that was seen once is not forgotten. ``ServerDate`` compares the clock of a
server with that of this machine, and ``TimeEvidence`` has all facts about the time of a step.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from certpin.pins import pins_of
from certpin.pins.hosts import join_address

if TYPE_CHECKING:
    from datetime import datetime

    from certpin.pins import HostPattern, Pin
    from certpin.probe import Endpoint
    from certpin.x509 import Chain

# By how much two correct clocks may differ.
CLOCK_TOLERANCE = timedelta(minutes=5)


@dataclass(frozen=True)
class ServerDate:
    """The time that a server reported in the header ``Date`` (RFC 9110 section 6.6.1).

    Attributes:
        source: the server.
        date: its time, to the second.
        local: the time of this machine when the answer came.
    """

    source: str
    date: datetime
    local: datetime

    @property
    def difference(self) -> timedelta:
        """How far the clocks of the server and of this machine are apart; never negative."""
        return abs(self.date - self.local)


@dataclass(frozen=True)
class TimeEvidence:
    """The facts about the time of a step, besides the clock of this machine.

    Attributes:
        newest: the time of the newest entry of the journal; ``None`` if it has none.
        entry: the step and the person of that entry, as text.
        dates: the times of servers, over connections with verified chains.
        hints: the times of servers without a verified chain. They prove nothing.
    """

    newest: datetime | None = None
    entry: str = ""
    dates: tuple[ServerDate, ...] = ()
    hints: tuple[ServerDate, ...] = ()

    @property
    def confirmed(self) -> bool:
        """True if the time of a server confirms the clock of this machine."""
        return any(each.difference <= CLOCK_TOLERANCE for each in self.dates)


@dataclass(frozen=True)
class Sighting:
    """The certificates that one server presented to a probe.

    Attributes:
        vantage: the description of the server, such as its address.
        chain: the verified path from leaf to root; ``None`` if verification failed.
        served: the certificates that the server sent. Without a verified path they may be an
            attacker's.
        server: the name of the server in the journal (``server_name``); empty for a file.
        problem: why OpenSSL refused the chain.
        date: the time that the server reported; ``None`` if it reported none. It proves nothing
            if ``chain`` is ``None``.
    """

    vantage: str
    chain: Chain | None
    served: Chain | None = None
    server: str = ""
    problem: str = ""
    date: ServerDate | None = None

    @property
    def pins(self) -> frozenset[Pin]:
        """The pins (of key and of certificate) of every certificate in the verified path."""
        return _pins(self.chain)

    @property
    def unverified(self) -> frozenset[Pin]:
        """The pins of the certificates that the server sent; empty if a path was verified."""
        return frozenset() if self.chain else _pins(self.served)

    @property
    def leaf(self) -> Pin | None:
        """The pin of the key of the server's own certificate; ``None`` if it sent none."""
        chain = self.chain or self.served
        return pins_of(chain.certificates[0])[0] if chain and chain.certificates else None


@dataclass(frozen=True)
class ServerObservation:
    """The key that a server presented at a time, as the journal records it.

    Attributes:
        host: the pattern of the policy for which the server was contacted.
        server: the server (``server_name``).
        time: when it was contacted.
        leaf: the pin of the key of its leaf certificate.
        problem: why its chain did not verify; empty if it did.
    """

    host: HostPattern
    server: str
    time: datetime
    leaf: Pin | None
    problem: str = ""


def server_name(endpoint: Endpoint, pattern: HostPattern) -> str:
    """Return the name of a server in the journal: its address in the pin file, with the port.

    A TLS name that is neither the address nor the name of the pattern, as with a wildcard and
    ``--connect``, comes first: ``www.bank.example at 192.0.2.7:443``.
    """
    host, port = endpoint.address
    address = join_address(host, port)
    return address if endpoint.name in {host, pattern.name} else f"{endpoint.name} at {address}"


def _pins(chain: Chain | None) -> frozenset[Pin]:
    certificates = chain.certificates if chain else ()
    return frozenset(pin for certificate in certificates for pin in pins_of(certificate))
