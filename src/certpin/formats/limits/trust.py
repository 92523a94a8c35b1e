"""Platforms that know trust anchors, and no pins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.errors import ConfigError
from certpin.formats.fit import PolicyLimit
from certpin.pins import pins_of
from certpin.x509 import Certificate

if TYPE_CHECKING:
    from certpin.pins import HostPolicy


class AnchorsOnly(PolicyLimit):
    """The platform trusts the anchors of ``trust``, and whatever they vouch for.

    The pins stay in the file as comments. Nothing is lost where each anchor is pinned itself.
    """

    aspect = "pins"
    summary = "pins: whatever the anchors of `trust` vouch for is accepted; `trust` is required"

    def fit_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Tell where the anchors admit more than the pins."""
        if policy.trust is None:
            raise ConfigError(
                'it has trust = "system", and nothing to pin with',
                key="trust",
                fix='name the authority\'s certificate: trust = "root.pem"',
            )
        anchors = [pins_of(Certificate.from_der(der)) for der in policy.trust.der]
        pinned = all(policy.live_pins.keys() & set(each) for each in anchors)
        if pinned and policy.match != "leaf":
            return policy, ""
        return policy, f"whatever {policy.trust.source!r} vouches for is accepted, pinned or not"
