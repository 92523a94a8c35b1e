"""When pins end, and what happens then."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from certpin.formats.fit import PolicyLimit

if TYPE_CHECKING:
    from certpin.pins import HostPolicy


class NoExpiry(PolicyLimit):
    """The platform's pins hold until they are replaced."""

    aspect = "expires"
    summary = "`expires`: the pins hold on after it"

    def fit_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Leave the date out."""
        if policy.expires is None:
            return policy, ""
        return _without_date(policy), "expires is left out, and the pins hold on after it"


class FailOpenDate(PolicyLimit):
    """The platform stops pinning at a date.

    Where the pins must not end so (``fail-closed``), the date is left out: to hold on too long may
    refuse somebody, to stop pinning lets everybody in.
    """

    aspect = "expires"
    summary = (
        '`on_expiry` other than `"fail-open"`: with `"fail-closed"` the date is left out, so that '
        'pinning never stops; `"report"` becomes `"fail-open"`; a time of day: midnight after it'
    )

    def fit_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Keep the date where the pins may end in the open."""
        if policy.expires is None:
            return policy, ""
        if policy.on_expiry == "fail-closed":
            return _without_date(policy), "expires is left out, and the pins hold on after it"
        day = _next_midnight(policy.expires)
        fitted = replace(policy, expires=day, on_expiry="fail-open")
        words = []
        if policy.on_expiry == "report":
            words.append('on_expiry = "report" becomes "fail-open"')
        if day != policy.expires:
            words.append(f"expires becomes {day.date().isoformat()}, a date without a time of day")
        return fitted, "; ".join(words)


def _without_date(policy: HostPolicy) -> HostPolicy:
    return replace(policy, expires=None, on_expiry="fail-closed")


def _next_midnight(moment: datetime) -> datetime:
    moment = moment.astimezone(UTC)
    midnight = datetime.combine(moment.date(), time.min, UTC)
    last = midnight.date() == date.max  # there is no day after it
    return midnight if last or midnight == moment else midnight + timedelta(days=1)
