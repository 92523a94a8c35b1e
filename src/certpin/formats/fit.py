"""What a platform cannot express is told, and never dropped in silence.

``fit`` turns a pin set into the one that a platform will have. Each limit of the platform changes
one respect of it, and says what is lost and why. What comes out can be expressed exactly: writer
and reader of a format are each other's inverse, and all that an export loses, it loses here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from certpin.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from certpin.pins import HostPolicy, PinSet


@dataclass(frozen=True)
class Loss:
    """Something that a platform will not have.

    ``aspect`` is a stable word for programs, ``host`` the pattern of the policy (empty for the
    whole set), ``problem`` a sentence without its full stop.
    """

    aspect: str
    host: str
    problem: str

    def __str__(self) -> str:
        return f"{self.host}: {self.problem}" if self.host else self.problem


Fitted = tuple["PinSet", tuple[Loss, ...]]


@dataclass(frozen=True)
class Limit(ABC):
    """Something that a platform cannot express. ``why`` is the platform's reason, a clause."""

    why: str

    aspect: ClassVar[str]
    summary: ClassVar[str]  # what is not expressed, for the documentation

    @abstractmethod
    def apply(self, pins: PinSet) -> Fitted:
        """The pin set without it, and what was lost. Raises ``ConfigError`` where that is unsafe.

        Nothing is lost where the pin set has no need of what the platform lacks.
        """


class PolicyLimit(Limit):
    """A limit that looks at one policy at a time."""

    @abstractmethod
    def fit_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """The policy as the platform will have it (``None``: left out), and what is lost.

        The words are empty where nothing is. Raises ``ConfigError``.
        """

    def apply(self, pins: PinSet) -> Fitted:
        """Fit each policy."""
        kept, losses = [], []
        for policy in pins.policies:
            fitted, problem = self._fit(policy)
            if fitted:
                kept.append(fitted)
            if problem:
                losses.append(Loss(self.aspect, str(policy.pattern), f"{problem}: {self.why}"))
        return with_policies(pins, kept, losses), tuple(losses)

    def _fit(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        try:
            return self.fit_policy(policy)
        except ConfigError as exc:
            raise ConfigError(
                f"{policy.pattern} cannot be exported: {exc.problem}; {self.why}",
                key=exc.key,
                fix=exc.fix,
            ) from exc


def fit(pins: PinSet, limits: Sequence[Limit]) -> Fitted:
    """The pin set as a platform will have it, and all that is lost.

    A platform with limits is given no removed pins: they decide nothing, so that is no loss. Nor is
    it given ``strict_x509``, which is for Python: each platform verifies by rules of its own.
    Raises ``ConfigError`` if the rest would lock clients out, or protect nothing.
    """
    if not limits:
        return pins, ()
    pins = replace(pins, policies=tuple(map(_for_platforms, pins.policies)))
    losses: list[Loss] = []
    for limit in limits:
        pins, lost = limit.apply(pins)
        losses += lost
    return pins, tuple(losses)


def with_policies(pins: PinSet, policies: list[HostPolicy], losses: Iterable[Loss]) -> PinSet:
    """The same pin set with these policies. Raises ``ConfigError`` where there are none."""
    if not policies:
        raise ConfigError(
            f"nothing is left to be exported: {'; '.join(map(str, losses))}",
            key="host",
            fix="export what this platform can express, or choose another format",
        )
    return replace(pins, policies=tuple(policies))


def _for_platforms(policy: HostPolicy) -> HostPolicy:
    if policy.trust is not None and policy.trust.strict is not None:
        policy = replace(policy, trust=replace(policy.trust, strict=None))
    kept = tuple(entry for entry in policy.pins if entry.state != "removed")
    return policy if kept == policy.pins else replace(policy, pins=kept)
