"""Select the policies of a pin set to export, and check the hosts that are left out."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from certpin.errors import ConfigError
from certpin.formats.projection import Omission, applied_policies, refuse_stolen
from certpin.pins import HostPattern
from certpin.pins.policy import policy_meaning

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from certpin.pins import HostPolicy, PinSet


def only(pins: PinSet, patterns: Iterable[str]) -> PinSet:
    """Return the pin set reduced to the given host patterns, in the order of the policies.

    If only a wildcard covers a given host, the result has a copy of the wildcard's policy with this
    host as its pattern. If no patterns are given, return the whole pin set.

    Raises:
        ConfigError: no policy covers a pattern.
    """
    wanted = dict.fromkeys(map(HostPattern.parse, patterns))
    if not wanted:
        return pins
    chosen: dict[HostPattern, list[HostPolicy]] = {}
    for pattern in wanted:
        policy = _policy(pins, pattern)
        narrowed = (
            replace(policy, pattern=pattern, servers=()) if policy.pattern != pattern else policy
        )
        chosen.setdefault(policy.pattern, []).append(narrowed)
    kept = [each for policy in pins.policies for each in chosen.get(policy.pattern, [])]
    return replace(pins, policies=tuple(kept))


def _policy(pins: PinSet, pattern: HostPattern) -> HostPolicy:
    policy = pins.policy_of(pattern)
    if policy is None and not pattern.wildcard:
        policy = pins.policy_for(pattern.name)
    if policy is None:
        raise ConfigError(
            f"no policy has the pattern {pattern}",
            key="host",
            fix="write it exactly as in the pin file",
        )
    return policy


def covered_by(
    projected: PinSet, pins: PinSet, left_out: Iterable[HostPolicy]
) -> Iterator[Omission]:
    """Yield an omission for each policy that is not exported, if exported pins apply to its hosts.

    Args:
        projected: the exported pin set, reduced to the settings that the platform can express.
        pins: the same policies before this reduction.
        left_out: the policies that are not exported.

    Raises:
        ConfigError: pins would be enforced on a host with ``mode = "report"``, or accept a key at a
            host for which it is compromised.
    """
    missing = {policy.pattern: policy for policy in left_out}
    if not missing:
        return
    meanings = {policy.pattern: policy_meaning(policy) for policy in pins.policies}
    whole = replace(pins, policies=(*pins.policies, *missing.values()))
    reported: set[HostPattern] = set()
    for policy, exported in applied_policies(projected, whole):
        if policy.pattern not in missing:
            continue
        host, above = str(policy.pattern), exported.pattern
        if policy.mode == "report" and exported.mode == "enforce":
            raise ConfigError(
                f'{host} has mode = "report" and is left out, but the pins of {above} would apply '
                "to it",
                key="mode",
                fix=f"also export it: --host {shlex.quote(host)}, and enforce it if the platform "
                "has no report mode; or replace the wildcard by individual hosts",
            )
        refuse_stolen(policy, exported)
        if policy.pattern not in reported and meanings.get(above) != policy_meaning(policy):
            reported.add(policy.pattern)  # one omission for each
            yield Omission("overlap", host, f"it is left out, so the pins of {above} apply to it")
