"""Limitations on the expiry of pins."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from certpin.formats.projection import PolicyLimitation

if TYPE_CHECKING:
    from certpin.pins import HostPolicy


class NoExpiry(PolicyLimitation):
    """The platform enforces pins until they are replaced."""

    aspect = "expires"
    summary = "`expires`: the pins stay in force after it"

    def project_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Omit the date."""
        if policy.expires is None:
            return policy, ""
        return _without_date(policy), "expires is left out, so the pins stay in force after it"


class FailOpenDate(PolicyLimitation):
    """The platform stops pinning at a date.

    For ``fail-closed`` policies the date is omitted: pins that stay in force too long can refuse a
    client, but an end of pinning would accept any attacker with a valid certificate.
    """

    aspect = "expires"
    summary = (
        '`on_expiry` other than `"fail-open"`: with `"fail-closed"` the date is omitted, so that '
        'pinning never stops; `"report"` becomes `"fail-open"`; a time of day: the next midnight'
    )

    def project_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Keep the date only if the policy may fail open."""
        if policy.expires is None:
            return policy, ""
        if policy.on_expiry == "fail-closed":
            return _without_date(policy), "expires is left out, so the pins stay in force after it"
        day = _next_midnight(policy.expires)
        projected = replace(policy, expires=day, on_expiry="fail-open")
        words = []
        if policy.on_expiry == "report":
            words.append('on_expiry = "report" becomes "fail-open"')
        if day != policy.expires:
            words.append(f"expires becomes {day.date().isoformat()}, a date without a time of day")
        return projected, "; ".join(words)


def _without_date(policy: HostPolicy) -> HostPolicy:
    return replace(policy, expires=None, on_expiry="fail-closed")


def _next_midnight(moment: datetime) -> datetime:
    moment = moment.astimezone(UTC)
    midnight = datetime.combine(moment.date(), time.min, UTC)
    last = midnight.date() == date.max  # the last day that datetime supports
    return midnight if last or midnight == moment else midnight + timedelta(days=1)
