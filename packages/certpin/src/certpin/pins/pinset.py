"""The pin set of an application: all its policies, the one for a host, and comparing sets."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, NamedTuple

from certpin.errors import ConfigError
from certpin.pins.hosts import is_address, normalise

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from certpin.pins.pin import Pin
    from certpin.pins.policy import HostPolicy, Match, Mode, OnExpiry, TrustAnchors


_CACHED_HOSTS = 4096


@dataclass(frozen=True)
class PinSet:
    """All policies of an application, with a name and a version. Immutable.

    Args:
        name: the name of the set, which reports contain.
        version: 1 or more. It rises with each change.
        policies: the policies; no two with the same pattern.
        debug: the anchors of a debugging proxy. They are used only with ``CERTPIN_DEBUG=1``.

    Raises:
        ConfigError: the set is empty, has two policies for a pattern, or the version is below 1.
    """

    name: str
    version: int
    policies: tuple[HostPolicy, ...]
    debug: TrustAnchors | None = None

    def __post_init__(self) -> None:
        if not self._index:  # built here, and not in the first handshake after a swap
            raise ConfigError(
                "the pin set is empty: it protects nothing", key="host", fix="certpin add HOST"
            )
        if self.version < 1:
            raise ConfigError("a version must be 1 or more", key="version", fix="write version = 1")

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.name, self.version, self.policies, self.debug)

    def policy_for(self, host: str) -> HostPolicy | None:
        """Return the most specific policy that covers a host, or ``None``.

        An exact name precedes ``*.``, which precedes ``**.``, and a longer suffix precedes a
        shorter one. The cost is one dictionary lookup for each label, whatever the number of hosts;
        recent hosts are cached.

        Args:
            host: a host in any spelling.

        Raises:
            HostError: it is not a host.
        """
        return self._cached(host)

    @cached_property
    def _cached(self) -> Callable[[str], HostPolicy | None]:
        return lru_cache(maxsize=_CACHED_HOSTS)(self._find)

    def _find(self, host: str) -> HostPolicy | None:
        host = normalise(host)
        exact = self._index.get(host)
        if exact is not None or not self._has_wildcards or is_address(host):
            return exact
        return self._wildcard_for(host)

    def _wildcard_for(self, host: str) -> HostPolicy | None:
        _, _, parent = host.partition(".")
        candidates = [f"**.{host}", f"*.{parent}"]
        while parent:
            candidates.append(f"**.{parent}")
            _, _, parent = parent.partition(".")
        return next((self._index[key] for key in candidates if key in self._index), None)

    @cached_property
    def _has_wildcards(self) -> bool:
        return any(policy.pattern.wildcard for policy in self.policies)

    @cached_property
    def _index(self) -> dict[str, HostPolicy]:
        """Return the policies by their patterns. Raises ``ConfigError`` if two have the same."""
        index: dict[str, HostPolicy] = {}
        for number, policy in enumerate(self.policies):
            pattern = str(policy.pattern)
            if pattern in index:
                raise ConfigError(
                    f"{pattern} has two policies",
                    key=f"host[{number}].name",
                    fix="merge them into one",
                )
            index[pattern] = policy
        return index


class PolicyMeaning(NamedTuple):
    """The fields of a policy that clients use. Compare it as a whole, or field by field."""

    pins: frozenset[Pin]
    compromised: frozenset[Pin]
    mode: Mode
    match: Match
    expires: datetime | None
    on_expiry: OnExpiry | None  # None if nothing expires
    trust: frozenset[bytes] | None
    strict_x509: bool | None
    report_to: frozenset[str]

    def differing(self, other: PolicyMeaning) -> tuple[str, ...]:
        """Return the names of the fields with different values, in their order."""
        return tuple(name for name in self._fields if getattr(self, name) != getattr(other, name))


class Meaning(NamedTuple):
    """The content of a pin set that clients use: policies by pattern, and debug anchors.

    Clients with equal meanings accept, refuse and report the same. Roles, notes and the order are
    left out, and of states only whether a pin is accepted or compromised counts.
    """

    policies: dict[str, PolicyMeaning]
    debug: frozenset[bytes] | None


def meaning(pins: PinSet) -> Meaning:
    """Return the meaning of a pin set. Its name and version are not part of it."""
    policies = {str(policy.pattern): policy_meaning(policy) for policy in pins.policies}
    return Meaning(policies, _anchors(pins.debug))


def policy_meaning(policy: HostPolicy) -> PolicyMeaning:
    """Return the meaning of one policy."""
    return PolicyMeaning(
        pins=frozenset(policy.live_pins),
        compromised=policy.compromised,
        mode=policy.mode,
        match=policy.match,
        expires=policy.expires,
        on_expiry=policy.on_expiry if policy.expires else None,
        trust=_anchors(policy.trust),
        strict_x509=policy.trust.strict if policy.trust else None,
        report_to=frozenset(policy.report_to),
    )


def _anchors(anchors: TrustAnchors | None) -> frozenset[bytes] | None:
    return frozenset(anchors.der) if anchors else None
