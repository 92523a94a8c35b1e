"""Export limitations on the hosts that a policy can cover: number, form, subdomains and overlap."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from certpin.errors import ConfigError
from certpin.formats.projection import (
    Limitation,
    Omission,
    PolicyLimitation,
    Projection,
    with_policies,
)
from certpin.pins import HostPattern
from certpin.pins.hosts import is_address
from certpin.pins.policy import policy_meaning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.pins import HostPolicy, PinSet
    from certpin.pins.hosts import Wildcard


class OneHost(Limitation):
    """Export limitation: the platform's file supports only one host or host pattern.

    The export of several policies raises ``ConfigError``.
    """

    aspect = "hosts"
    summary = "more than one host: export each separately with `--host`"

    def apply(self, pins: PinSet) -> Projection:
        """Return the pin set unchanged, and an empty list of omissions.

        Raises ``ConfigError`` if the pin set has more than one policy.
        """
        if len(pins.policies) > 1:
            raise ConfigError(
                f"there are {len(pins.policies)} hosts: {self.why}",
                key="host",
                fix=f"export each separately: --host {shlex.quote(str(pins.policies[0].pattern))}",
            )
        return pins, ()


class _OneEntryAName(Limitation):
    """Export limitation: the platform's file has one entry per domain name, with a subdomains flag.

    All policies with the same domain name (``name``, ``*.name``, ``**.name``) become one entry,
    which has the pins of all of them. ``spellings`` has the wildcards that the platform applies in
    place of each wildcard of a pattern (empty for none). ``lost`` has a clause that says what each
    replaced wildcard then covers or lacks.
    """

    aspect = "subdomains"
    spellings: ClassVar[
        dict[Wildcard, tuple[Wildcard, ...]]
    ]  # the wildcards that replace each wildcard
    lost: ClassVar[dict[Wildcard, str]]

    def apply(self, pins: PinSet) -> Projection:
        """Return a copy of the pin set with one policy per domain name, and the list of omissions.

        Policies for a name and its subdomains are merged. Patterns that the platform's flag for
        subdomains can't express are replaced by the nearest ones. Raises ``ConfigError`` if merged
        policies differ in more than their pins.
        """
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
    """Export limitation: the platform has one flag for subdomains, which covers all of them.

    With the flag, an entry covers the domain and every name below it. Without it, an entry covers
    the domain only.
    """

    summary = (
        "`*.name`: becomes `**.name`, or is refused if that would cover a host with "
        '`mode = "report"`; policies for `name` and `**.name`: united'
    )
    spellings: ClassVar[dict[Wildcard, tuple[Wildcard, ...]]] = {
        "": ("",),
        "*.": ("**.",),
        "**.": ("**.",),
    }
    lost: ClassVar[dict[Wildcard, str]] = {"*.": "also covers the name itself and deeper names"}


class ApexAndOneLabel(_OneEntryAName):
    """Export limitation: the platform's flag for subdomains goes only one label deep.

    With the flag, an entry covers the domain and the names with exactly one more label. Without it,
    an entry covers the domain only.
    """

    summary = (
        "`**.name`: names with two more labels are not covered; `*.name` also covers `name`, or is "
        'refused if that has `mode = "report"`'
    )
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
    """Return True if two sets of wildcards, before the same domain name, cover the same host names.

    If not, the export reports that it replaces the patterns. The sets cover the same names if they
    are equal, or if each contains ``**.``, which covers all names that the other wildcards cover.

    Args:
        wanted: the wildcards of the pin set.
        spelt: the wildcards that the platform can express.
    """
    return wanted == set(spelt) or ("**." in wanted and "**." in spelt)


class NamesOnly(PolicyLimitation):
    """Export limitation: the platform pins only host names.

    The export of a policy for an IP address raises ``ConfigError``. For an IP address, the platform
    would fail or not compare pins.
    """

    aspect = "hosts"
    summary = "IP addresses: refused"

    def project_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Return the policy unchanged, and an empty text, because nothing is omitted.

        Raises ``ConfigError`` if the host of the policy is an IP address.
        """
        if is_address(policy.pattern.name):
            raise ConfigError(
                "it is an IP address",
                key="name",
                fix="give the server a name, or export only the other hosts: --host HOST",
            )
        return policy, ""


class NoWildcard(PolicyLimitation):
    """Export limitation: the platform verifies only the one host name that its file contains.

    The export of a policy for a wildcard raises ``ConfigError``.
    """

    aspect = "hosts"
    summary = "`*.name` and `**.name`: refused"

    def project_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Return the policy unchanged, and an empty text, because nothing is omitted.

        Raises ``ConfigError`` if the host pattern is a wildcard: the platform verifies no host name
        then, and would accept every server with a certificate of the authority.
        """
        if policy.pattern.wildcard:
            raise ConfigError(
                "it covers several names, but the platform verifies one",
                key="name",
                fix="add a policy for each host",
            )
        return policy, ""


class United(Limitation):
    """Export limitation: the platform accepts the pins of every pattern that covers a host.

    certpin's clients accept only the pins of the policy with the most specific pattern. So the
    export adds the pins of broader patterns to each policy, and reports this.
    """

    aspect = "overlap"
    summary = "precedence of the most specific policy: the pins of all matching patterns are united"

    def apply(self, pins: PinSet) -> Projection:
        """Return a copy of the pin set in which each policy also has the pins of broader patterns.

        The platform accepts these pins for the policy's hosts too. Each policy with added pins is
        reported as an omission.
        """
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
    """Export limitation: patterns that overlap must have the same expiry date.

    Clients of the platform disagree about a host that several patterns cover. Some apply the most
    specific pattern, even if it has expired; others apply all unexpired patterns. The export of
    different dates raises ``ConfigError``.
    """

    aspect = "overlap"
    summary = "overlapping patterns that expire on different days: refused"

    def apply(self, pins: PinSet) -> Projection:
        """Return the pin set unchanged. Raises ``ConfigError`` if expiry dates differ.

        Only the dates of patterns that cover a common host are compared.
        """
        index = {str(policy.pattern): policy for policy in pins.policies}
        for policy in pins.policies:
            for pattern in map(str, broader(policy.pattern)):
                if pattern in index and index[pattern].expires != policy.expires:
                    raise ConfigError(
                        f"{policy.pattern} and {pattern} expire on different days: {self.why}",
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
    """Yield all other host patterns that cover every host of ``pattern``."""
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
    """Yield a policy for each host that two wildcards cover, neither of which is broader.

    This is the host ``y.x`` if the pin set has ``*.x`` and ``**.y.x``. The platform accepts the
    pins of both for it, so the export needs a separate policy for ``y.x``: a copy of that of
    ``**.y.x``, to which the caller adds the pins of ``*.x``. Hosts that have their own policy
    already are left out.
    """
    index = {str(policy.pattern) for policy in pins.policies}
    for policy in pins.policies:
        name = policy.pattern.name
        star = f"*.{name.partition('.')[2]}"
        if policy.pattern.wildcard == "**." and star in index and name not in index:
            yield replace(policy, pattern=HostPattern("", name))
