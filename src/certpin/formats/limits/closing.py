"""Dates that a platform wants, or takes in one way alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from typing import TYPE_CHECKING

from certpin.errors import ConfigError
from certpin.formats.fit import Fitted, Limit, PolicyLimit
from certpin.formats.limits.overlap import broader

if TYPE_CHECKING:
    from certpin.pins import HostPolicy, PinSet


class FailClosedDate(PolicyLimit):
    """The platform wants a date, and refuses the host after it.

    No date is made up: to end early locks everybody out, and only the owner knows what is early.
    """

    aspect = "expires"
    summary = '`on_expiry` other than `"fail-closed"`; hosts without `expires`: refused'

    def fit_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Close at the date, in whole seconds."""
        if policy.expires is None:
            raise ConfigError(
                "it has no date",
                key="expires",
                fix="give it expires: the day on which the last of its certificates ends",
            )
        moment = policy.expires.astimezone(UTC).replace(microsecond=0)
        words = []
        if policy.on_expiry != "fail-closed":
            words.append(f'on_expiry = "{policy.on_expiry}" becomes "fail-closed"')
        if moment != policy.expires:
            words.append("expires becomes a whole second")
        return replace(policy, expires=moment, on_expiry="fail-closed"), "; ".join(words)


class OneDateInOverlaps(Limit):
    """The platform's clients differ in what holds where two patterns cover a host.

    One takes the most specific pattern, which may have ended, and another one all that have not.
    """

    aspect = "overlap"
    summary = "patterns that overlap and end on different days: refused"

    def apply(self, pins: PinSet) -> Fitted:
        """Refuse two dates for one host."""
        index = {str(policy.pattern): policy for policy in pins.policies}
        for policy in pins.policies:
            for pattern in map(str, broader(policy.pattern)):
                if pattern in index and index[pattern].expires != policy.expires:
                    raise ConfigError(
                        f"{policy.pattern} and {pattern} cannot be exported together: "
                        f"they end on different days; {self.why}",
                        key="expires",
                        fix="let both end on one day, or neither",
                    )
        return pins, ()
