"""What the rules look at: what clients reported lately, and how the watch itself is. Pure data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from certpin.reports.model import UNVERIFIED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from certpin_watch.alerts.settings import Settings
    from certpin_watch.snapshot import WatchedSet
    from certpin_watch.store.queries.capacity import Queue, Sweep, Window

HOUR = 3600
DAY = 24 * HOUR
BACK = 7 * DAY  # how far back it is looked for what is usual


class Group(NamedTuple):
    """Reports of the last day that say the same, counted. Claims, all of it.

    ``first_at`` is when the first of them arrived, by this machine's clock, in Unix seconds.
    """

    host: str
    served: bytes
    verified: bytes
    pin_set: str
    version: int
    app: str
    app_version: str
    network: str
    decision: str
    reason: str
    reports: int
    first_at: int = 0

    @property
    def unverified(self) -> bool:
        """Whether the client's own platform refused the chain, and its pins have no part in it."""
        return self.reason in UNVERIFIED

    @property
    def chain(self) -> bytes:
        """The digest of what it should be judged by: what the client verified, else what came."""
        return self.verified or self.served


class Holders(NamedTuple):
    """How many clients told in a day that they hold a version, in an app."""

    pin_set: str
    version: int
    app: str
    app_version: str
    clients: int


class Role(NamedTuple):
    """The date of a signature in the folder of signed sets beside a pin file."""

    pin_set: str
    role: str
    expires: int
    soon: bool


@dataclass(frozen=True)
class Own:
    """The state of the service itself.

    Attributes:
        disk: the free share of the store's disk in per cent, if known.
        failing: notification services that failed, with the last problem of each.
        blind: the parts that could not be evaluated, with the reason.
        queue: the stream in which reports wait to be counted.
        full: the bounds that reports have nearly reached.
        sweeps: the last result of retention for each kind of row.
        window: the time for which repeated reports are recognised.
    """

    disk: float | None = None
    failing: Mapping[str, str] = field(default_factory=dict)
    blind: Mapping[str, str] = field(default_factory=dict)
    queue: Queue | None = None
    full: tuple[str, ...] = ()
    sweeps: tuple[Sweep, ...] = ()
    window: Window | None = None


@dataclass(frozen=True)
class Evidence:
    """All that decides, as it is at ``now``.

    ``hours`` are the failures of each host by the hour (its first second), over ``BACK``. ``heard``
    are the hours in which anything came. ``accepted`` are chains, with the host, that some version
    alive accepts, ``strange`` those that none does; others are not known. ``issuers`` says for each
    chain who issued its leaf. ``sighted`` are those that a vantage saw, ``vouched`` those strange
    ones that an authority issued for the host. ``networks`` are the providers' networks that told
    of a chain, or of a failure without one, by what ``share`` makes of the host and by the chain;
    ``spread`` is how many told anything of it.
    """

    now: int
    settings: Settings
    sets: tuple[WatchedSet, ...] = ()
    groups: tuple[Group, ...] = ()
    holders: tuple[Holders, ...] = ()
    hours: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    heard: tuple[int, ...] = ()
    accepted: frozenset[tuple[str, bytes]] = frozenset()
    strange: frozenset[tuple[str, bytes]] = frozenset()
    issuers: Mapping[bytes, str] = field(default_factory=dict)
    sighted: frozenset[tuple[str, bytes]] = frozenset()
    vouched: frozenset[tuple[str, bytes]] = frozenset()
    networks: Mapping[tuple[str, bytes], frozenset[str]] = field(default_factory=dict)
    spread: Mapping[str, int] = field(default_factory=dict)
    share: Callable[[str], str] = field(default=str, compare=False)
    roles: tuple[Role, ...] = ()
    own: Own = field(default_factory=Own)

    def watched(self, host: str, pin_set: str = "") -> WatchedSet | None:
        """The pin set that a host is in: the named one, if it covers it, else any that does."""
        return watched_set(self.sets, host, pin_set)

    def told_from(self, host: str, chains: Iterable[bytes]) -> int:
        """How many networks told of any of these chains at a host, or at those of its share."""
        share = self.share(host)
        return len(frozenset().union(*(self.networks.get((share, each), ()) for each in chains)))

    def holding(self, pin_set: str, app: str | None = None) -> int | None:
        """How many clients hold a pin set, in one app or in all; ``None`` where nobody told."""
        found = [
            each.clients
            for each in self.holders
            if each.pin_set == pin_set and app in {None, each.app}
        ]
        return sum(found) if found else None


def watched_set(sets: tuple[WatchedSet, ...], host: str, pin_set: str = "") -> WatchedSet | None:
    """See ``Evidence.watched``. A host that cannot be one is in none."""
    covering = [each for each in sets if _covers(each, host)]
    named = [each for each in covering if each.pins.name == pin_set]
    return next(iter([*named, *covering]), None)


def _covers(watched: WatchedSet, host: str) -> bool:
    from certpin.errors import HostError

    try:
        return watched.pins.policy_for(host) is not None
    except HostError:
        return False
