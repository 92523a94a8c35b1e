"""Limitations on the hosts that a policy can cover."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from certpin.errors import ConfigError
from certpin.formats.projection import Limitation, Omission, Projection, with_policies
from certpin.pins import HostPattern
from certpin.pins.meaning import policy_meaning

if TYPE_CHECKING:
    from certpin.pins import HostPolicy, PinSet
    from certpin.pins.hosts import Wildcard


class OneHost(Limitation):
    """The file supports only one host or pattern."""

    aspect = "hosts"
    summary = "more than one host: export each separately with `--host`"

    def apply(self, pins: PinSet) -> Projection:
        """Refuse more than one policy."""
        if len(pins.policies) > 1:
            raise ConfigError(
                f"there are {len(pins.policies)} hosts: {self.why}",
                key="host",
                fix=f"export each separately: --host {pins.policies[0].pattern}",
            )
        return pins, ()


class _OneEntryAName(Limitation):
    """The platform has one entry per name, with a flag for its subdomains.

    Policies with the same name are merged: their pins are united.
    """

    aspect = "subdomains"
    spellings: ClassVar[
        dict[Wildcard, tuple[Wildcard, ...]]
    ]  # the wildcards that replace each wildcard
    lost: ClassVar[dict[Wildcard, str]]

    def apply(self, pins: PinSet) -> Projection:
        """Replace each pattern by patterns that the platform can express."""
        by_pattern: dict[str, HostPolicy] = {}
        omissions: list[Omission] = []
        for name, group in _by_name(pins).items():
            spelt, lost = self._project_name(name, group)
            by_pattern |= {str(policy.pattern): policy for policy in spelt}
            omissions += lost
        return with_policies(pins, list(by_pattern.values()), omissions), tuple(omissions)

    def _project_name(
        self, name: str, group: list[HostPolicy]
    ) -> tuple[list[HostPolicy], list[Omission]]:
        wanted = {policy.pattern.wildcard for policy in group}
        widest = max(wanted, key=len)
        merged, omissions = self._merge(group)
        spelt = self.spellings[widest]
        if widest and not _same_cover(wanted, spelt):
            problem = f"it {self.lost[widest]}: {self.why}"
            omissions.append(Omission(self.aspect, f"{widest}{name}", problem))
        patterns = [HostPattern(wildcard, name) for wildcard in spelt]
        return [replace(merged, pattern=pattern) for pattern in patterns], omissions

    def _merge(self, group: list[HostPolicy]) -> tuple[HostPolicy, list[Omission]]:
        first, *others = group
        omissions = []
        for other in others:
            differing = policy_meaning(first).differing(policy_meaning(other))
            if set(differing) - {"pins", "compromised"}:
                raise ConfigError(
                    f"{first.pattern} and {other.pattern} differ, and {self.why}",
                    key="host",
                    fix="give both the same mode, match, dates, trust and report URLs",
                )
            if differing:
                problem = f"its pins and those of {other.pattern} are united: {self.why}"
                omissions.append(Omission(self.aspect, str(first.pattern), problem))
            pins = {each.pin: each for each in first.pins}
            for each in other.pins:
                if each.pin not in pins or each.state == "compromised":
                    pins[each.pin] = each
            first = replace(first, pins=tuple(pins.values()))
        return first, omissions


class ApexAndBelow(_OneEntryAName):
    """The platform's flag covers a name and all its subdomains."""

    summary = "`*.name`: becomes `**.name`; policies for `name` and `**.name`: united"
    spellings: ClassVar[dict[Wildcard, tuple[Wildcard, ...]]] = {
        "": ("",),
        "*.": ("**.",),
        "**.": ("**.",),
    }
    lost: ClassVar[dict[Wildcard, str]] = {"*.": "also covers the name itself and deeper names"}


class ApexAndOneLabel(_OneEntryAName):
    """The platform's flag covers a name and names with one more label."""

    summary = "`**.name`: names with two more labels are not covered; `*.name` also covers `name`"
    spellings: ClassVar[dict[Wildcard, tuple[Wildcard, ...]]] = {
        "": ("",),
        "*.": ("", "*."),
        "**.": ("", "*."),
    }
    lost: ClassVar[dict[Wildcard, str]] = {
        "*.": "also covers the name itself",
        "**.": "does not cover names with two more labels: add policies for these hosts",
    }


def _by_name(pins: PinSet) -> dict[str, list[HostPolicy]]:
    groups: dict[str, list[HostPolicy]] = {}
    for policy in pins.policies:
        groups.setdefault(policy.pattern.name, []).append(policy)
    return groups


def _same_cover(wanted: set[Wildcard], spelt: tuple[Wildcard, ...]) -> bool:
    """Return True if the same names are covered. ``**.`` includes the other patterns."""
    return wanted == set(spelt) or ("**." in wanted and "**." in spelt)
