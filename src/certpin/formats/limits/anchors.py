"""Platforms that compare only the leaf, but support trust anchors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.errors import ConfigError
from certpin.formats.limits.matching import LeafOnly, without_unseen
from certpin.pins import pins_of
from certpin.x509 import Certificate

if TYPE_CHECKING:
    from certpin.pins import HostPolicy


class LeafOrAnchors(LeafOnly):
    """The platform compares only the leaf, but supports its own trust anchors.

    If every anchor of ``trust`` is pinned, every verified chain matches a pin: the anchors then
    replace the pins, and nothing is omitted.
    """

    summary = (
        "pins of authorities, unless `trust` contains exactly their certificates: "
        "only the leaf is compared"
    )

    def project_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Keep the policy if its anchors are pinned, else only pins that a leaf can match."""
        if _anchors_are_pinned(policy):
            return without_unseen(policy)
        try:
            return super().project_policy(policy)
        except ConfigError as exc:
            raise ConfigError(
                exc.problem,
                key=exc.key,
                fix="also pin the server's own key and a backup, or set `trust` to a file "
                "with exactly the certificates of the pinned authorities",
            ) from exc


def _anchors_are_pinned(policy: HostPolicy) -> bool:
    if policy.trust is None:
        return False
    anchors = [pins_of(Certificate.from_der(der)) for der in policy.trust.der]
    return all(policy.live_pins.keys() & set(each) for each in anchors)
