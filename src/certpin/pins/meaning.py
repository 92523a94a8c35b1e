"""What a pin set means to a client: all that decides, and nothing that is for people alone.

Two sets with one meaning accept and refuse the same, report the same, to the same addresses.
Roles, notes and the order don't count; of states only whether a pin accepts, or is compromised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime

    from certpin.pins.pin import Pin
    from certpin.pins.pinset import PinSet
    from certpin.pins.policy import HostPolicy, Match, Mode, OnExpiry, TrustAnchors


class PolicyMeaning(NamedTuple):
    """What one policy means. Compared as a whole, or field by field."""

    pins: frozenset[Pin]
    compromised: frozenset[Pin]
    mode: Mode
    match: Match
    expires: datetime | None
    on_expiry: OnExpiry | None  # None where nothing expires
    trust: frozenset[bytes] | None
    strict_x509: bool | None
    report_to: frozenset[str]

    def differing(self, other: PolicyMeaning) -> tuple[str, ...]:
        """The names of the fields in which another one differs, in their order."""
        return tuple(name for name in self._fields if getattr(self, name) != getattr(other, name))


class Meaning(NamedTuple):
    """What a pin set means: its policies by pattern, and the anchors of its debug override."""

    policies: dict[str, PolicyMeaning]
    debug: frozenset[bytes] | None


def meaning(pins: PinSet) -> Meaning:
    """The meaning of a pin set; its name and version are told apart by whoever compares them."""
    policies = {str(policy.pattern): policy_meaning(policy) for policy in pins.policies}
    return Meaning(policies, _anchors(pins.debug))


def policy_meaning(policy: HostPolicy) -> PolicyMeaning:
    """The meaning of one policy."""
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
