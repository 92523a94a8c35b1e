"""Limitations on the certificates of the chain that a pin can match.

A backup pin is treated as the key of a server, unless all other pins are of authorities.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from certpin.errors import ConfigError
from certpin.formats.projection import PolicyLimitation

if TYPE_CHECKING:
    from certpin.pins import HostPin, HostPolicy


class AnywhereInChain(PolicyLimitation):
    """The platform compares every certificate of the verified chain."""

    aspect = "match"
    summary = '`match = "leaf"` and `"ca"`: a pin may match anywhere in the chain'

    def project_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Set ``match`` to ``any``."""
        if policy.match == "any":
            return policy, ""
        return replace(policy, match="any"), f'match = "{policy.match}" becomes "any"'


class LeafOnly(PolicyLimitation):
    """The platform compares only the leaf."""

    aspect = "match"
    summary = "pins of authorities: only the leaf's key is compared"

    def project_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Keep only pins that a leaf can match."""
        policy, unseen = without_unseen(policy)
        if policy.match == "leaf":
            return policy, unseen
        kept = _for_leaves(policy)
        if policy.match == "ca" or not kept:
            raise ConfigError(
                "none of its pins can match a leaf",
                key="pin",
                fix="also pin the server's own key, or choose a platform that compares the chain",
            )
        words = "; ".join(filter(None, (_narrowed(policy, kept), unseen)))
        return replace(policy, match="leaf", pins=kept), words


class LeafOrAuthority(PolicyLimitation):
    """The platform has one list for leaves and one for authorities, and requires both to match."""

    aspect = "match"
    summary = '`match = "any"`: becomes `"leaf"` or `"ca"`, depending on the roles of the pins'

    def project_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Choose one of the two lists."""
        if policy.match != "any":
            return policy, ""
        kept = _for_leaves(policy)
        if not kept:
            return replace(policy, match="ca"), 'match = "any" becomes "ca"'
        return replace(policy, match="leaf", pins=kept), _narrowed(policy, kept)


def without_unseen(policy: HostPolicy) -> tuple[HostPolicy, str]:
    """Return the policy without compromised keys of authorities, which the platform ignores."""
    unseen = [
        entry
        for entry in policy.pins
        if entry.state == "compromised" and entry.role in {"intermediate", "root"}
    ]
    if not unseen:
        return policy, ""
    lost = ", ".join(f"{entry.pin} ({entry.role})" for entry in unseen)
    kept = tuple(entry for entry in policy.pins if entry not in unseen)
    return replace(policy, pins=kept), f"{lost} is compromised, and is not refused"


def _for_leaves(policy: HostPolicy) -> tuple[HostPin, ...]:
    """Return the pins that a leaf can match; none if all roles but backups are authorities."""
    roles = {entry.role for entry in policy.live_pins.values()} - {"backup"}
    if roles and roles <= {"intermediate", "root"}:
        return ()
    return tuple(entry for entry in policy.pins if entry.role in {"leaf", "backup"})


def _narrowed(policy: HostPolicy, kept: tuple[HostPin, ...]) -> str:
    lost = [f"{entry.pin} ({entry.role})" for entry in policy.pins if entry not in kept]
    left_out = f", and {', '.join(lost)} is left out" if lost else ""
    return f'match = "any" becomes "leaf"{left_out}'
