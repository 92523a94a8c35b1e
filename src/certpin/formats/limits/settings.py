"""What a pin file says beside its pins: modes, trust, addresses, the debug section."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from certpin.errors import ConfigError
from certpin.formats.fit import Fitted, Limit, Loss, PolicyLimit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.pins import HostPolicy, PinSet


class NoReportOnly(PolicyLimit):
    """The platform has no report-only mode.

    Such a host is left out: enforcing what its owner only watches would lock somebody out.
    """

    aspect = "mode"
    summary = '`mode = "report"`: such a host is left out; below a wildcard it is refused'

    def apply(self, pins: PinSet) -> Fitted:
        """Leave such hosts out, unless the pins of a name above would be enforced on them then."""
        fitted, losses = super().apply(pins)
        above = {each.pattern.name for each in fitted.policies if each.pattern.wildcard}
        for policy in pins.policies:
            if policy.mode == "report" and above.intersection(_and_above(policy.pattern.name)):
                raise ConfigError(
                    f'{policy.pattern} has mode = "report", and the pins of a name above it '
                    f"would be enforced on it: {self.why}",
                    key="mode",
                    fix="enforce it too, or name the hosts above it one by one",
                )
        return fitted, losses

    def fit_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Leave the policy out unless it is enforced."""
        if policy.mode == "enforce":
            return policy, ""
        return None, 'mode = "report": the host is left out'


class NoTrust(PolicyLimit):
    """The platform's own roots are not replaced by the export."""

    aspect = "trust"
    summary = "`trust`: the platform's own roots decide"

    def fit_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Leave the anchors out."""
        if policy.trust is None:
            return policy, ""
        return replace(policy, trust=None), f"trust = {policy.trust.source!r} is left out"


class NoReports(PolicyLimit):
    """The platform sends no reports."""

    aspect = "report_to"
    summary = "`report_to`: no failure is reported"

    def fit_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Leave the addresses out."""
        if not policy.report_to:
            return policy, ""
        return replace(policy, report_to=()), "report_to is left out"


class NoDebug(Limit):
    """The platform has no debug override."""

    aspect = "debug"
    summary = "`[debug]`: left out"

    def apply(self, pins: PinSet) -> Fitted:
        """Leave the section out."""
        if pins.debug is None:
            return pins, ()
        loss = Loss(self.aspect, "", f"[debug] is left out: {self.why}")
        return replace(pins, debug=None), (loss,)


def _and_above(name: str) -> Iterator[str]:
    """A name, and every name above it."""
    while name:
        yield name
        name = name.partition(".")[2]
