"""Which part of what is watched a host belongs to: pure, and asked by collector and alerts alike.

Whoever sends reports chooses the hosts in them. So what one part may take is for all names below
its pattern together, and what nobody watches is no part at all.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from certpin.errors import HostError

if TYPE_CHECKING:
    from certpin_watch.watched import WatchedSet

_REMEMBERED = 100_000  # hosts


@dataclass
class Patterns:
    """The patterns of some pin sets. ``named`` are hosts below wildcards that the monitor asks.

    It remembers: hosts come again and again.
    """

    sets: tuple[WatchedSet, ...] = ()
    named: frozenset[str] = frozenset()
    _known: dict[str, str] = field(default_factory=dict)

    def renewed(self, sets: tuple[WatchedSet, ...]) -> Patterns:
        """The same, or those of other sets."""
        return self if self.sets == sets else Patterns(sets, self.named)

    def of(self, host: str) -> str:
        """The pattern that covers it, or an empty text for a host that nobody watches."""
        if (found := self._known.get(host)) is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            found = self._known[host] = self._look(host)
        return found

    def share(self, host: str) -> str:
        """Its part: a host that is asked is one by itself, others are one with their pattern.

        Where there are no sets, all hosts are one part.
        """
        if not self.sets:
            return "*"
        pattern = self.of(host)
        return host if pattern and host in self.named else pattern

    def _look(self, host: str) -> str:
        for each in self.sets:
            try:
                policy = each.pins.policy_for(host)
            except HostError:
                return ""
            if policy is not None:
                return str(policy.pattern)
        return ""
