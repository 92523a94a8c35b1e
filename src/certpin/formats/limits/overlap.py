"""Limitations of platforms that apply every matching pattern, not only the most specific one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from certpin.errors import ConfigError
from certpin.formats.projection import Limitation, Omission, Projection, with_policies
from certpin.pins import HostPattern

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.pins import HostPolicy, PinSet


class United(Limitation):
    """The platform accepts the pins of all patterns that cover a host."""

    aspect = "overlap"
    summary = "precedence of the most specific policy: the pins of all matching patterns are united"

    def apply(self, pins: PinSet) -> Projection:
        """Add the pins of broader patterns to each policy, as the platform does."""
        policies = [*pins.policies, *_meetings(pins)]
        index = {str(policy.pattern): policy for policy in policies}
        projected, omissions = [], []
        for policy in policies:
            united, added = _unite(policy, index)
            projected.append(united)
            if added:
                problem = f"it also accepts the pins of {' and '.join(added)}: {self.why}"
                omissions.append(Omission(self.aspect, str(policy.pattern), problem))
        return with_policies(pins, projected, omissions), tuple(omissions)


class OneDateInOverlaps(Limitation):
    """The platform's clients apply overlapping patterns differently.

    One client applies the most specific pattern, even if it has expired, and another client applies
    all unexpired patterns.
    """

    aspect = "overlap"
    summary = "overlapping patterns that expire on different days: refused"

    def apply(self, pins: PinSet) -> Projection:
        """Refuse different expiry dates for one host."""
        index = {str(policy.pattern): policy for policy in pins.policies}
        for policy in pins.policies:
            for pattern in map(str, broader(policy.pattern)):
                if pattern in index and index[pattern].expires != policy.expires:
                    raise ConfigError(
                        f"{policy.pattern} and {pattern} cannot be exported together: "
                        f"they expire on different days; {self.why}",
                        key="expires",
                        fix="let both expire on the same day, or neither",
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
    """Yield the other patterns that cover every host of ``pattern``."""
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
    """Yield policies for hosts ``y.x`` that only ``*.x`` and ``**.y.x`` cover."""
    index = {str(policy.pattern) for policy in pins.policies}
    for policy in pins.policies:
        name = policy.pattern.name
        star = f"*.{name.partition('.')[2]}"
        if policy.pattern.wildcard == "**." and star in index and name not in index:
            yield replace(policy, pattern=HostPattern("", name))
