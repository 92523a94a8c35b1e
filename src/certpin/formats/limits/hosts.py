"""Which hosts a policy can cover."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from certpin.errors import ConfigError
from certpin.formats.fit import Fitted, Limit, Loss, with_policies
from certpin.pins import HostPattern
from certpin.pins.pinset import policy_meaning

if TYPE_CHECKING:
    from certpin.pins import HostPolicy, PinSet
    from certpin.pins.hosts import Wildcard


class OneHost(Limit):
    """The file is for one host, or one pattern."""

    aspect = "hosts"
    summary = "more than one host: export each with `--host`"

    def apply(self, pins: PinSet) -> Fitted:
        """Refuse more than one policy."""
        if len(pins.policies) > 1:
            raise ConfigError(
                f"there are {len(pins.policies)} hosts: {self.why}",
                key="host",
                fix=f"export each by itself: --host {pins.policies[0].pattern}",
            )
        return pins, ()


class _OneEntryAName(Limit):
    """The platform has one entry for a name, with a flag for names below it.

    Policies that come to stand under one name are made one: their pins are united.
    """

    aspect = "subdomains"
    spellings: ClassVar[dict[Wildcard, tuple[Wildcard, ...]]]  # how each wildcard is expressed
    lost: ClassVar[dict[Wildcard, str]]

    def apply(self, pins: PinSet) -> Fitted:
        """Spell each pattern as the platform can."""
        by_pattern: dict[str, HostPolicy] = {}
        losses: list[Loss] = []
        for name, group in _by_name(pins).items():
            spelt, lost = self._fit_name(name, group)
            by_pattern |= {str(policy.pattern): policy for policy in spelt}
            losses += lost
        return with_policies(pins, list(by_pattern.values()), losses), tuple(losses)

    def _fit_name(self, name: str, group: list[HostPolicy]) -> tuple[list[HostPolicy], list[Loss]]:
        wanted = {policy.pattern.wildcard for policy in group}
        widest = max(wanted, key=len)
        merged, losses = self._merge(group)
        spelt = self.spellings[widest]
        if widest and not _same_cover(wanted, spelt):
            problem = f"it {self.lost[widest]}: {self.why}"
            losses.append(Loss(self.aspect, f"{widest}{name}", problem))
        patterns = [HostPattern(wildcard, name) for wildcard in spelt]
        return [replace(merged, pattern=pattern) for pattern in patterns], losses

    def _merge(self, group: list[HostPolicy]) -> tuple[HostPolicy, list[Loss]]:
        first, *others = group
        losses = []
        for other in others:
            differing = policy_meaning(first).differing(policy_meaning(other))
            if set(differing) - {"pins", "compromised"}:
                raise ConfigError(
                    f"{first.pattern} and {other.pattern} differ, and {self.why}",
                    key="host",
                    fix="give both the same mode, match, dates, trust and report addresses",
                )
            if differing:
                problem = f"its pins and those of {other.pattern} are united: {self.why}"
                losses.append(Loss(self.aspect, str(first.pattern), problem))
            pins = {each.pin: each for each in first.pins}
            for each in other.pins:
                if each.pin not in pins or each.state == "compromised":
                    pins[each.pin] = each
            first = replace(first, pins=tuple(pins.values()))
        return first, losses


class ApexAndBelow(_OneEntryAName):
    """The platform's flag covers a name and everything below it."""

    summary = "`*.name`: becomes `**.name`; an entry for a name and another for `**.` it: united"
    spellings: ClassVar[dict[Wildcard, tuple[Wildcard, ...]]] = {
        "": ("",),
        "*.": ("**.",),
        "**.": ("**.",),
    }
    lost: ClassVar[dict[Wildcard, str]] = {"*.": "covers the name itself and deeper names too"}


class ApexAndOneLabel(_OneEntryAName):
    """The platform's flag covers a name and those with one label more."""

    summary = (
        "`**.name`: names with two labels more are not covered; `*.name` alone: covers `name` too"
    )
    spellings: ClassVar[dict[Wildcard, tuple[Wildcard, ...]]] = {
        "": ("",),
        "*.": ("", "*."),
        "**.": ("", "*."),
    }
    lost: ClassVar[dict[Wildcard, str]] = {
        "*.": "covers the name itself too",
        "**.": "does not cover names with two labels more: name their hosts",
    }


def _by_name(pins: PinSet) -> dict[str, list[HostPolicy]]:
    groups: dict[str, list[HostPolicy]] = {}
    for policy in pins.policies:
        groups.setdefault(policy.pattern.name, []).append(policy)
    return groups


def _same_cover(wanted: set[Wildcard], spelt: tuple[Wildcard, ...]) -> bool:
    """Whether as many names are covered as were: ``**.`` holds what the others hold."""
    return wanted == set(spelt) or ("**." in wanted and "**." in spelt)
