"""How many of something the platform wants, or takes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from certpin.errors import ConfigError
from certpin.formats.fit import PolicyLimit

if TYPE_CHECKING:
    from certpin.pins import HostPolicy


class TwoPins(PolicyLimit):
    """The platform wants two pins, where it only reports too."""

    aspect = "pins"
    summary = 'one pin alone, which `mode = "report"` allows: refused'

    def fit_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Refuse one pin alone."""
        if len(policy.live_pins) < 2:
            raise ConfigError(
                "there is one pin alone",
                key="pin",
                fix="add a backup: certpin add HOST --backup-key FILE",
            )
        return policy, ""


class OneReportAddress(PolicyLimit):
    """The platform reports to one address."""

    aspect = "report_to"
    summary = "more than one address in `report_to`: the first is kept"

    def fit_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Keep the first."""
        first, others = policy.report_to[:1], policy.report_to[1:]
        if not others:
            return policy, ""
        return replace(policy, report_to=first), f"report_to loses {', '.join(others)}"
