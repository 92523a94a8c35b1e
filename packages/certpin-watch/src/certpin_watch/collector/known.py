"""What this process knows to be in the store, so that it need not ask again and again."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_HOURS = 3  # that are remembered: this one, and those of reports that waited in a stream
_MOST_TOLD = 50_000


@dataclass
class Hour:
    """Groups by key, with where each is added up; digests of chains; what was told from where."""

    groups: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    chains: set[bytes] = field(default_factory=set)
    told: set[int] = field(default_factory=set)


class Known:
    """Some hours; it is never more than what they have room for."""

    def __init__(self) -> None:
        self._hours: OrderedDict[int, Hour] = OrderedDict()

    def of(self, hour: int) -> Hour:
        """What is known of an hour."""
        if hour not in self._hours:
            self._hours[hour] = Hour()
            if len(self._hours) > _HOURS:
                self._hours.popitem(last=False)
        return self._hours[hour]

    def learn(self, found: Mapping[int, Hour]) -> None:
        """Remember what a transaction wrote or saw: only once it is committed."""
        for hour, each in found.items():
            self.of(hour).groups |= each.groups
            self.of(hour).chains |= each.chains
            told = self.of(hour).told
            if len(told) > _MOST_TOLD:  # networks, hosts and chains have no end together
                told.clear()
            told |= each.told


def by_hour() -> defaultdict[int, Hour]:
    """Empty hours, made when they are asked for."""
    return defaultdict(Hour)
