"""Clients of an incident, one by one. They know pins, servers and a clock, and nothing of the gate.

Each client gets the versions that went out at its own times (``tests.rotation._brute_fleet``), and
connects to its server with the pins that it holds. Real handshakes decide which pins refuse a
server: one for each version and server, because clients with the same pins decide the same.
"""

from __future__ import annotations

import socket
import ssl
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from certpin import PinnedSSLContext
from certpin.rotation import AdoptionDelays
from certpin.rotation.arrivals import usual_curve
from tests.rotation import _brute_fleet

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from certpin.lab import LabServer
    from certpin.pinfile import PinSet

HOST = "api.bank.example"
# A guess, as in certpin: how many users have a release after so many days. The rest never update.
USUAL_CURVE = ((1, 0.1), (7, 0.5), (30, 0.8), (90, 0.95))
STRAGGLERS = 0.01  # a guess, as in certpin: 1 % of the clients are as slow as the delays allow
_PATIENCE = 10.0  # seconds for a handshake


@dataclass
class Crowd:
    """Clients that fetch pins, and users of one app that contains them.

    Attributes:
        fetching: how many clients fetch the pins.
        users: how many run the app.
        held: each client's pins so far, as pairs of a time and a version, in the order of arrival.
            The clients that fetch come first.
    """

    fetching: int = 0
    users: int = 0
    delays: AdoptionDelays = field(default_factory=AdoptionDelays)
    seed: str = ""
    held: list[list[tuple[float, PinSet]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.held = self.held or [[] for _ in range(self.size)]

    @property
    def size(self) -> int:
        """How many clients there are."""
        return self.fetching + self.users

    def copy(self) -> Crowd:
        """Return the same clients, who can go on in another way."""
        held = [list(each) for each in self.held]
        return Crowd(self.fetching, self.users, self.delays, self.seed, held)

    def fetch(self, pins: PinSet, at: datetime) -> None:
        """Let the clients that fetch get a version from a time on, each when it comes to it.

        A client that is still to get other pins of the same number gets these instead, at its time.
        """
        luck = Random(f"{self.seed} {pins.version} {at}")
        delays = _seconds(self.delays)
        for mine in self.held[: self.fetching]:
            same = [each for each, (_, held) in enumerate(mine) if held.version == pins.version]
            if same:
                when, held = mine[same[0]]
                mine[same[0]] = (when, pins if when > at.timestamp() else held)
                continue
            arrives = _brute_fleet.arrival(at.timestamp(), delays, STRAGGLERS, luck)
            mine.append((arrives if mine else at.timestamp(), pins))

    def force(self, pins: PinSet, at: datetime) -> None:
        """Let all users of the app update to the release with these pins at a time."""
        for mine in self.held[self.fetching :]:
            mine.append((at.timestamp(), pins))

    def install(self, pins: PinSet, at: datetime, curve: Sequence[tuple[int, float]]) -> None:
        """Let the users of the app get a release by its curve.

        The users are ranked: a user who is faster with one release is faster with each. One has it
        as soon as the curve says that as many users have it.
        """
        for rank, mine in enumerate(self.held[self.fetching :]):
            when = _brute_fleet.installs(at.timestamp(), curve, (rank + 1) / self.users)
            mine.append((when if mine else at.timestamp(), pins))

    def pins_at(self, moment: datetime) -> list[PinSet]:
        """Return the pins of each client at a time.

        No client takes a version that is not higher than its own.
        """
        at, found = moment.timestamp(), []
        for mine in self.held:
            arrived = sorted(((when, pins) for when, pins in mine if when <= at), key=_when)
            best = arrived[0][1]
            for _, pins in arrived[1:]:
                best = pins if pins.version > best.version else best
            found.append(best)
        return found

    def refusals(self, servers: Sequence[LabServer], moment: datetime) -> int:
        """Return how many clients refuse a server at a time. Each client comes to every server."""
        held = self.pins_at(moment)
        known = {id(pins): pins for pins in held}
        return sum(
            count
            for pins, count in Counter(map(id, held)).items()
            if not all(accepts(known[pins], server, moment) for server in servers)
        )


def accepts(pins: PinSet, server: LabServer, moment: datetime) -> bool:
    """Return True if a client with these pins completes a real handshake at this time."""
    context = PinnedSSLContext(pins, clock=lambda: moment)
    with socket.create_connection(("127.0.0.1", server.port), _PATIENCE) as plain:
        try:
            context.wrap_socket(plain, server_hostname=HOST).close()
        except ssl.SSLCertVerificationError:
            return False
    return True


def _when(entry: tuple[float, PinSet]) -> float:
    return entry[0]


def _seconds(delays: AdoptionDelays) -> _brute_fleet.Delays:
    opened = tuple((float(share), gap.total_seconds()) for share, gap in usual_curve(delays))
    waits = (delays.cdn, delays.cache, delays.poll)
    cdn, cache, poll = (each.total_seconds() for each in waits)
    return _brute_fleet.Delays(cdn, cache, poll, opened, delays.skew.total_seconds())
