"""Limitations of platforms that support trust anchors, but no pins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.errors import ConfigError
from certpin.formats.projection import PolicyLimitation
from certpin.pins import pins_of
from certpin.x509 import Certificate

if TYPE_CHECKING:
    from certpin.pins import HostPolicy


class AnchorsOnly(PolicyLimitation):
    """The platform accepts every chain to an anchor of ``trust``.

    The file keeps the pins as comments. Nothing is omitted if every anchor is pinned.
    """

    aspect = "pins"
    summary = "pins: every chain to an anchor of `trust` is accepted; `trust` is required"

    def project_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Report an omission if the anchors accept more than the pins."""
        if policy.trust is None:
            raise ConfigError(
                'it has trust = "system", which does not restrict the authorities',
                key="trust",
                fix='set trust to the certificate of the authority: trust = "root.pem"',
            )
        anchors = [pins_of(Certificate.from_der(der)) for der in policy.trust.der]
        pinned = all(policy.live_pins.keys() & set(each) for each in anchors)
        if pinned and policy.match != "leaf":
            return policy, ""
        return policy, f"every chain to {policy.trust.source!r} is accepted, pinned or not"
