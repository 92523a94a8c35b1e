"""Platforms that see the server's own certificate alone, and know trust anchors beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.errors import ConfigError
from certpin.formats.limits.matching import LeafOnly, without_unseen
from certpin.pins import pins_of
from certpin.x509 import Certificate

if TYPE_CHECKING:
    from certpin.pins import HostPolicy


class LeafOrAnchors(LeafOnly):
    """The platform compares the server's own certificate, and can be given roots of its own.

    Where each anchor of ``trust`` is pinned, whatever chains to them matches a pin: the anchors
    are the pins, and nothing is lost.
    """

    summary = (
        "pins of authorities, unless `trust` has their certificates and no others: "
        "the server's own certificate is all that is compared"
    )

    def fit_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Keep the policy where its anchors are its pins, else the pins that a leaf can match."""
        if _anchors_are_pinned(policy):
            return without_unseen(policy)
        try:
            return super().fit_policy(policy)
        except ConfigError as exc:
            raise ConfigError(
                exc.problem,
                key=exc.key,
                fix="pin the server's own key and a backup too, or let `trust` name a file with "
                "the certificates of the pinned authorities, and no others",
            ) from exc


def _anchors_are_pinned(policy: HostPolicy) -> bool:
    if policy.trust is None:
        return False
    anchors = [pins_of(Certificate.from_der(der)) for der in policy.trust.der]
    return all(policy.live_pins.keys() & set(each) for each in anchors)
