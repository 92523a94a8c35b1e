"""Where on the chain a pin may match.

A backup is taken for a key of the same kind as its neighbours: of a server, unless all other pins
are of authorities.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from certpin.errors import ConfigError
from certpin.formats.fit import PolicyLimit

if TYPE_CHECKING:
    from certpin.pins import HostPin, HostPolicy


class AnywhereInChain(PolicyLimit):
    """The platform looks for a pin in the whole verified chain."""

    aspect = "match"
    summary = '`match = "leaf"` and `"ca"`: a pin may match anywhere in the chain'

    def fit_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Let any certificate match."""
        if policy.match == "any":
            return policy, ""
        return replace(policy, match="any"), f'match = "{policy.match}" becomes "any"'


class LeafOnly(PolicyLimit):
    """The platform compares the server's own certificate alone."""

    aspect = "match"
    summary = "pins of authorities: the server's own key is all that is compared"

    def fit_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Keep the pins that a leaf can match."""
        policy, unseen = without_unseen(policy)
        if policy.match == "leaf":
            return policy, unseen
        kept = _for_leaves(policy)
        if policy.match == "ca" or not kept:
            raise ConfigError(
                "no pin of it can match a leaf",
                key="pin",
                fix="pin the server's own key too, or export for a platform that sees the chain",
            )
        words = "; ".join(filter(None, (_narrowed(policy, kept), unseen)))
        return replace(policy, match="leaf", pins=kept), words


class LeafOrAuthority(PolicyLimit):
    """The platform has a list for leaves and one for authorities, and wants both to match."""

    aspect = "match"
    summary = '`match = "any"`: pins are for the leaf or for authorities, never for either'

    def fit_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Decide for one of the two."""
        if policy.match != "any":
            return policy, ""
        kept = _for_leaves(policy)
        if not kept:
            return replace(policy, match="ca"), 'match = "any" becomes "ca"'
        return replace(policy, match="leaf", pins=kept), _narrowed(policy, kept)


def without_unseen(policy: HostPolicy) -> tuple[HostPolicy, str]:
    """The policy without the compromised keys of authorities, which the platform does not see."""
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
    """The pins that a leaf can match; none where all that say what they are say authority."""
    roles = {entry.role for entry in policy.live_pins.values()} - {"backup"}
    if roles and roles <= {"intermediate", "root"}:
        return ()
    return tuple(entry for entry in policy.pins if entry.role in {"leaf", "backup"})


def _narrowed(policy: HostPolicy, kept: tuple[HostPin, ...]) -> str:
    lost = [f"{entry.pin} ({entry.role})" for entry in policy.pins if entry not in kept]
    left_out = f", and {', '.join(lost)} is left out" if lost else ""
    return f'match = "any" becomes "leaf"{left_out}'
