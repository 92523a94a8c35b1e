"""Limitations on the other settings of a pin file: mode, trust, report URLs, debug section."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from certpin.errors import ConfigError
from certpin.formats.projection import Limitation, Omission, PolicyLimitation, Projection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.pins import HostPolicy, PinSet


class NoReportOnly(PolicyLimitation):
    """The platform has no report-only mode.

    A report-only host is omitted, because enforcing its pins could lock clients out.
    """

    aspect = "mode"
    summary = '`mode = "report"`: the host is omitted, or refused if a wildcard would cover it'

    def apply(self, pins: PinSet) -> Projection:
        """Omit report-only hosts. Refuse them if a wildcard's pins would be enforced instead."""
        projected, omissions = super().apply(pins)
        above = {each.pattern.name for each in projected.policies if each.pattern.wildcard}
        for policy in pins.policies:
            if policy.mode == "report" and above.intersection(_and_above(policy.pattern.name)):
                raise ConfigError(
                    f'{policy.pattern} has mode = "report", but the pins of a parent domain '
                    f"would be enforced on it: {self.why}",
                    key="mode",
                    fix="enforce it too, or replace the wildcard by individual hosts",
                )
        return projected, omissions

    def project_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Omit the policy unless it is enforced."""
        if policy.mode == "enforce":
            return policy, ""
        return None, 'mode = "report": the host is left out'


class NoTrust(PolicyLimitation):
    """The export does not replace the platform's roots."""

    aspect = "trust"
    summary = "`trust`: the platform uses its own roots"

    def project_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Omit the anchors."""
        if policy.trust is None:
            return policy, ""
        return replace(policy, trust=None), f"trust = {policy.trust.source!r} is left out"


class NoReports(PolicyLimitation):
    """The platform sends no reports."""

    aspect = "report_to"
    summary = "`report_to`: failures are not reported"

    def project_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Omit the URLs."""
        if not policy.report_to:
            return policy, ""
        return replace(policy, report_to=()), "report_to is left out"


class NoDebug(Limitation):
    """The platform has no debug override."""

    aspect = "debug"
    summary = "`[debug]`: omitted"

    def apply(self, pins: PinSet) -> Projection:
        """Omit the section."""
        if pins.debug is None:
            return pins, ()
        omission = Omission(self.aspect, "", f"[debug] is left out: {self.why}")
        return replace(pins, debug=None), (omission,)


def _and_above(name: str) -> Iterator[str]:
    """Yield a name and all its parent domains."""
    while name:
        yield name
        name = name.partition(".")[2]
