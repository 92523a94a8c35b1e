"""Limitations on the kind and the number of pins, and on compromised keys."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from certpin.errors import ConfigError
from certpin.formats.projection import PolicyLimitation

if TYPE_CHECKING:
    from certpin.pins import HostPolicy


class KeysOnly(PolicyLimitation):
    """The platform compares only public keys."""

    aspect = "pins"
    summary = "pins of whole certificates (`cert-sha256/…`): omitted"

    def project_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Omit the pins of whole certificates."""
        kept = tuple(entry for entry in policy.pins if entry.pin.kind == "sha256")
        if not kept:
            raise ConfigError(
                "none of its pins is the pin of a key",
                key="pin",
                fix="pin the key: certpin pin HOST prints both",
            )
        lost = [str(entry.pin) for entry in policy.pins if entry not in kept]
        return replace(policy, pins=kept), f"{', '.join(lost)} is left out" if lost else ""


class TwoPins(PolicyLimitation):
    """The platform requires two pins, also in report-only mode."""

    aspect = "pins"
    summary = 'a single pin, which `mode = "report"` allows: refused'

    def project_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Refuse a single pin."""
        if len(policy.live_pins) < 2:
            raise ConfigError(
                "there is only one pin",
                key="pin",
                fix="add a backup: certpin add HOST --backup-key FILE",
            )
        return policy, ""


class NoCompromised(PolicyLimitation):
    """The platform has a list of keys to accept, but none of keys to refuse.

    A format lists this limitation first, so that the others see only live pins.
    """

    aspect = "compromised"
    summary = "`compromised` keys: a path that contains one is accepted if another pin matches"

    def project_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Omit the keys that clients of certpin refuse."""
        if not policy.compromised:
            return policy, ""
        lost = ", ".join(sorted(map(str, policy.compromised)))
        kept = tuple(entry for entry in policy.pins if entry.state != "compromised")
        return replace(policy, pins=kept), f"{lost} is compromised, and is not refused"
