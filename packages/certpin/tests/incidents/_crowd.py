"""Simulated clients of an incident, each with its own pins at each time.

Each client gets each published version at its own time (``tests.rotation._brute_fleet``), and
connects to its server with its newest version. Real handshakes decide which pins refuse a server:
one for each version and server, because clients with the same pins decide the same. The module
calls none of the code in certpin that predicts how many clients a key change locks out.
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
    """Simulated clients: some fetch their pins, and some are users of an app with built-in pins.

    Attributes:
        fetching: how many clients fetch the pins.
        users: how many users run the app.
        delays: how long a new version takes to reach the clients that fetch.
        seed: the seed of the random arrival times.
        held: each client's pin sets so far, as pairs of an arrival time and a pin set, in the order
            of publication. The clients that fetch come first.
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
        """Return a copy of all clients. Later pins of the copy do not affect the original."""
        held = [list(each) for each in self.held]
        return Crowd(self.fetching, self.users, self.delays, self.seed, held)

    def fetch(self, pins: PinSet, at: datetime) -> None:
        """Publish a pin set to the clients that fetch: each gets it at a random time after ``at``.

        A client without pins gets it at once. A client that waits for other pins with the same
        version number gets these pins instead, at the time at which it would have got the others.
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
        """Publish a release with these pins at a time; the users of the app update gradually.

        ``curve`` has pairs of a number of days and the share of users who have updated by then. The
        users are ranked: a user who updates earlier than another does so with each release, as soon
        as the curve says that so many users have it. A user without pins has the release at once.
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
        """Return how many clients refuse at least one of the servers at a time.

        Each client connects to every server.
        """
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
