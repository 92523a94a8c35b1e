"""Reduce a pin set to the settings that a platform can express, and report the omissions.

``project`` applies the limitations of a platform to a pin set. Each limitation removes or changes
one setting, and says what is omitted and why. The platform can express the result exactly, so the
writer of a format omits nothing more: its reader returns the same settings.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from certpin.errors import ConfigError
from certpin.pins.policy import expiry_effect

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from certpin.pins import HostPattern, HostPolicy, PinSet


@dataclass(frozen=True)
class Omission:
    """A setting of a pin set that an export omits or changes.

    ``aspect`` is a stable word for programs, ``host`` the pattern of the policy (empty for the
    whole pin set), and ``problem`` a sentence without its full stop.
    """

    aspect: str
    host: str
    problem: str

    def __str__(self) -> str:
        return f"{self.host}: {self.problem}" if self.host else self.problem


Projection = tuple["PinSet", tuple[Omission, ...]]


@dataclass(frozen=True)
class Limitation(ABC):
    """A setting of a pin set that a platform can't express. ``apply`` removes or changes it.

    Attributes:
        why: the reason why the platform can't express it, as a clause without a full stop.
        aspect: a stable word for the setting, for programs.
        summary: the omitted setting, for the documentation.
        root_sets: a sentence for users: that the platform can't enforce a set of pinned roots, or
            what it needs for that besides pins. Empty if the limitation doesn't concern root sets.
    """

    why: str

    aspect: ClassVar[str]
    summary: ClassVar[str]
    root_sets: ClassVar[str] = ""

    @abstractmethod
    def apply(self, pins: PinSet) -> Projection:
        """Return a copy of the pin set without the setting, and the list of omitted settings.

        The setting is the one that this limitation is about, which the platform can't express. The
        list is empty if the pin set ``pins`` does not use it.

        Raises:
            ConfigError: a pin set without the setting would be unsafe.
        """


class PolicyLimitation(Limitation):
    """An export limitation that changes each policy independently of the others."""

    @abstractmethod
    def project_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Return the policy without the setting, and a text that names the omissions and changes.

        The text is for the user of the export; it is empty if nothing is omitted. The policy is
        ``None`` if the export must leave out the whole host. Raises ``ConfigError`` if the reduced
        policy would be unsafe.
        """

    def apply(self, pins: PinSet) -> Projection:
        """Return a copy of the pin set with reduced policies, and the omissions.

        Each policy is reduced by ``project_policy``.
        """
        kept, omissions = [], []
        for policy in pins.policies:
            projected, problem = self._project(policy)
            if projected:
                kept.append(projected)
            if problem:
                omissions.append(
                    Omission(self.aspect, str(policy.pattern), f"{problem}: {self.why}")
                )
        return with_policies(pins, kept, omissions), tuple(omissions)

    def _project(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        try:
            return self.project_policy(policy)
        except ConfigError as exc:
            raise ConfigError(
                f"{policy.pattern} cannot be exported: {exc.problem}; {self.why}",
                key=exc.key,
                fix=exc.fix,
            ) from exc


def project(pins: PinSet, limits: Sequence[Limitation]) -> Projection:
    """Return a copy of a pin set with only the settings that a platform can express.

    Without limitations, the pin set is returned unchanged. Two omissions are never reported: pins
    in the state ``removed``, because clients ignore them, and ``strict_x509``, because it applies
    only to Python.

    Args:
        pins: the pin set.
        limits: the limitations of the platform, in the order in which they apply.

    Returns:
        The reduced pin set, and everything that was omitted.

    Raises:
        ConfigError: the reduced pin set would lock clients out, protect nothing, enforce pins on a
            host with ``mode = "report"``, or accept a key at a host for which it is compromised.
    """
    if not limits:
        return pins, ()
    projected = replace(pins, policies=tuple(map(_for_platforms, pins.policies)))
    omissions: list[Omission] = []
    for limit in limits:
        projected, lost = limit.apply(projected)
        omissions += lost
    # Only now, because a limitation may have left a host out, and a later one widened a pattern.
    for policy, exported in applied_policies(projected, pins):
        if policy.mode == "report" and exported.mode == "enforce":
            hosts = "its hosts" if policy.pattern.wildcard else "it"
            why = "; ".join(each.why for each in limits if each.aspect in {"mode", "subdomains"})
            raise ConfigError(
                f'{policy.pattern} has mode = "report", but the pins of {exported.pattern} would '
                f"be enforced on {hosts}: {why}",
                key="mode",
                fix="enforce it too, or replace the wildcard by individual hosts",
            )
        refuse_stolen(policy, exported)
    return projected, tuple(omissions)


def applied_policies(projected: PinSet, pins: PinSet) -> Iterator[tuple[HostPolicy, HostPolicy]]:
    """Yield pairs: an original policy, and an exported policy that applies to hosts of the first.

    An exported policy can also cover hosts of other policies, for example if the platform's flag
    for subdomains is wider than the pattern, or if the policy of these hosts is not exported.

    Args:
        projected: the exported pin set, a reduced copy of ``pins``.
        pins: the original pin set.
    """
    for exported in projected.policies:
        for policy in pins.policies_at(exported.pattern, projected):
            if policy is not None:
                yield policy, exported


def refuse_stolen(policy: HostPolicy, exported: HostPolicy) -> None:
    """Raise ``ConfigError`` if an exported policy accepts a key that is compromised for ``policy``.

    Args:
        policy: an original policy.
        exported: an exported policy that applies to hosts of ``policy``.
    """
    if stolen := sorted(map(str, policy.compromised & exported.live_pins.keys())):
        raise ConfigError(
            f"{stolen[0]} is compromised for {policy.pattern}, but the export would accept it "
            f"there: the pins of all policies that cover {exported.pattern} apply",
            key="state",
            fix="replace the wildcard by individual hosts (--host HOST for each), or replace the "
            f"key everywhere: certpin rotate emergency {stolen[0]} --stolen prints the steps",
        )


def expired_policies(projected: PinSet, pins: PinSet, now: datetime) -> tuple[Omission, ...]:
    """Return an omission for each exported policy that has expired at the time ``now``.

    If the export has no date, such as on a platform without dates, the date of the original policy
    counts.

    Args:
        projected: the exported pin set, a reduced copy of ``pins``.
        pins: the original pin set.
        now: the current time.
    """
    found: dict[HostPattern, Omission] = {}
    for policy, exported in applied_policies(projected, pins):
        dated = exported if exported.expires else policy
        if dated.expires is None or not dated.expired(now):
            continue
        if dated is exported:
            effect = f", so clients {expiry_effect(exported.mode, exported.on_expiry)}"
        else:
            effect = ", but the exported files stay in force, because they have no date"
        problem = (
            f"its pins expired on {dated.expires:%Y-%m-%d}{effect}: give the host a later "
            "expires, and raise version"
        )
        found.setdefault(dated.pattern, Omission("expires", str(dated.pattern), problem))
    return tuple(found.values())


def with_policies(
    pins: PinSet, policies: list[HostPolicy], omissions: Iterable[Omission]
) -> PinSet:
    """Return a copy of the pin set ``pins`` that has ``policies`` in place of its own.

    Raises ``ConfigError`` if ``policies`` is empty; its message lists the ``omissions`` as the
    reason.
    """
    if not policies:
        raise ConfigError(
            f"no policy can be exported: {'; '.join(map(str, omissions))}",
            key="host",
            fix="change these settings for this platform, or choose another format",
        )
    return replace(pins, policies=tuple(policies))


def _for_platforms(policy: HostPolicy) -> HostPolicy:
    if policy.trust is not None and policy.trust.strict is not None:
        policy = replace(policy, trust=replace(policy.trust, strict=None))
    kept = tuple(entry for entry in policy.pins if entry.state != "removed")
    return policy if kept == policy.pins else replace(policy, pins=kept)
