"""Platforms on which every pattern that covers a host counts, not only the most specific one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from certpin.errors import ConfigError
from certpin.formats.fit import Fitted, Limit, Loss, with_policies
from certpin.pins import HostPattern

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.pins import HostPolicy, PinSet


class United(Limit):
    """The pins of all patterns that cover a host are united."""

    aspect = "overlap"
    summary = "that the most specific policy wins: the pins of all that cover a host are united"

    def apply(self, pins: PinSet) -> Fitted:
        """Give each policy the pins of the broader ones, as the platform will."""
        policies = [*pins.policies, *_meetings(pins)]
        index = {str(policy.pattern): policy for policy in policies}
        fitted, losses = [], []
        for policy in policies:
            united, added = _unite(policy, index)
            fitted.append(united)
            if added:
                problem = f"it accepts the pins of {' and '.join(added)} too: {self.why}"
                losses.append(Loss(self.aspect, str(policy.pattern), problem))
        return with_policies(pins, fitted, losses), tuple(losses)


class OneDateInOverlaps(Limit):
    """The platform's clients differ in what holds where two patterns cover a host.

    One takes the most specific pattern, which may have ended, and another one all that have not.
    """

    aspect = "overlap"
    summary = "patterns that overlap and end on different days: refused"

    def apply(self, pins: PinSet) -> Fitted:
        """Refuse two dates for one host."""
        index = {str(policy.pattern): policy for policy in pins.policies}
        for policy in pins.policies:
            for pattern in map(str, broader(policy.pattern)):
                if pattern in index and index[pattern].expires != policy.expires:
                    raise ConfigError(
                        f"{policy.pattern} and {pattern} cannot be exported together: "
                        f"they end on different days; {self.why}",
                        key="expires",
                        fix="let both end on one day, or neither",
                    )
        return pins, ()


def _unite(policy: HostPolicy, index: dict[str, HostPolicy]) -> tuple[HostPolicy, list[str]]:
    entries = {entry.pin: entry for entry in policy.pins}
    added = []
    for pattern in broader(policy.pattern):
        other = index.get(str(pattern))
        if other and not other.live_pins.keys() <= entries.keys():
            entries = {**other.live_pins, **entries}
            added.append(str(pattern))
    return replace(policy, pins=tuple(entries.values())), added


def broader(pattern: HostPattern) -> Iterator[HostPattern]:
    """The patterns that cover every host of one, without itself."""
    if pattern.wildcard == "":
        yield HostPattern("**.", pattern.name)
        yield HostPattern("*.", pattern.name.partition(".")[2])
    elif pattern.wildcard == "*.":
        yield HostPattern("**.", pattern.name)
    parent = pattern.name.partition(".")[2]
    while parent:
        yield HostPattern("**.", parent)
        parent = parent.partition(".")[2]


def _meetings(pins: PinSet) -> Iterator[HostPolicy]:
    """The hosts where ``*.x`` and ``**.y.x`` meet, which have no policy of their own: ``y.x``."""
    index = {str(policy.pattern) for policy in pins.policies}
    for policy in pins.policies:
        name = policy.pattern.name
        star = f"*.{name.partition('.')[2]}"
        if policy.pattern.wildcard == "**." and star in index and name not in index:
            yield replace(policy, pattern=HostPattern("", name))
