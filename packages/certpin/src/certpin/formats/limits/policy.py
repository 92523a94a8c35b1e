"""Export limitations on the settings of a policy: expiry, mode, trust, SCTs, reports, debug."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote

from certpin.errors import ConfigError
from certpin.formats.projection import Limitation, Omission, PolicyLimitation, Projection
from certpin.x509 import Certificate, end_in_roots
from certpin.x509.log_list import PLATFORM_LOGS

if TYPE_CHECKING:
    from certpin.pins import HostPolicy, PinSet


class NoExpiry(PolicyLimitation):
    """Export limitation: the platform has no expiry date, so that pins stay until replaced.

    The export omits the date.
    """

    aspect = "expires"
    summary = "`expires`: the pins stay in force after it"

    def project_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Return the policy without its expiry date, and a text that reports this."""
        if policy.expires is None:
            return policy, ""
        return _without_date(policy), "expires is left out, so the pins stay in force after it"


class FailOpenDate(PolicyLimitation):
    """Export limitation: after the expiry date, the platform accepts any key (``fail-open``).

    For a policy that is ``fail-closed``, the export therefore omits the date: its pins stay in
    force. They can lock clients out later, but without pins the platform would accept an attacker
    with any valid certificate.
    """

    aspect = "expires"
    summary = (
        '`on_expiry` other than `"fail-open"`: with `"fail-closed"` the date is omitted, so that '
        'pinning never stops; `"report"` becomes `"fail-open"`; a time of day: the next midnight'
    )

    def project_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Return the policy with an expiry that the platform supports, and a text on the changes.

        A ``fail-closed`` policy loses its date. Other policies become ``fail-open``, and expire at
        the first midnight (UTC) that is not before their date.
        """
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


class NoReportOnly(PolicyLimitation):
    """Export limitation: the platform has no report-only mode.

    A report-only host is omitted, because enforcing its pins could lock clients out. ``project``
    refuses the export if the pins of another policy would be enforced on it.
    """

    aspect = "mode"
    summary = '`mode = "report"`: the host is omitted, or refused if a wildcard would cover it'

    def project_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Return the policy unchanged, and an empty text, if the policy is enforced.

        For a report-only policy, return ``None`` (the host is left out), and a text that reports
        this to the user.
        """
        if policy.mode == "enforce":
            return policy, ""
        return None, 'mode = "report": the host is left out'


class NoTrust(PolicyLimitation):
    """Export limitation: the exported file can't replace the platform's roots for a host.

    The export omits the trust anchors of a policy.
    """

    aspect = "trust"
    summary = "`trust`: the platform uses its own roots"

    def project_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Return the policy without its trust anchors, and a text that reports this.

        The text is empty if the policy has none. The policy is never ``None``.
        """
        if policy.trust is None:
            return policy, ""
        return replace(policy, trust=None), f"trust = {policy.trust.source!r} is left out"


class RootsOnly(PolicyLimitation):
    """Export limitation: on the platform, every chain must end at a root.

    certpin's clients also accept a trust anchor that is an intermediate or the server's own
    certificate, if the policy's anchors contain no root above it. The export of such a policy
    raises ``ConfigError``.
    """

    aspect = "trust"
    summary = "`trust` without the root (self-signed) certificates of its anchors: refused"

    def project_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Return the policy unchanged, and an empty text, because nothing is omitted.

        Raises ``ConfigError`` if the root of one of the policy's trust anchors is missing, because
        the platform would refuse every chain to that anchor.
        """
        if policy.trust and not end_in_roots(map(Certificate.from_der, policy.trust.der)):
            raise ConfigError(
                f"an anchor in {policy.trust.source!r} is not a root (self-signed)",
                key="trust",
                fix="add the root that issued it to the file of `trust`; with --ca-file, pin it",
            )
        return policy, ""


class NoTransparency(PolicyLimitation):
    """Export limitation: the platform checks no signed certificate timestamps (SCTs).

    The export omits the requirement of SCTs.
    """

    aspect = "require_ct"
    summary = "`require_ct`: a certificate without SCTs is accepted"

    def project_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Return the policy without the requirement of SCTs, and a text that reports this.

        If the policy has no such requirement, return it unchanged, and an empty text.
        """
        if policy.ct_logs is None:
            return policy, ""
        return replace(policy, ct_logs=None), "require_ct is left out"


class PlatformTransparency(PolicyLimitation):
    """Export limitation: the platform checks SCTs with its own list of public logs.

    The export replaces the list of the policy, so the platform may count other logs.
    """

    aspect = "require_ct"
    summary = (
        "`ct_logs`: the platform has its own list of logs; `require_ct` of a host with `trust`: "
        "omitted, because no public log has the certificates of a private authority"
    )

    def project_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Return the policy with the platform's list of logs, and a text that names the change.

        If the policy has a private authority (``trust``), the requirement of Certificate
        Transparency is omitted instead, because public logs don't contain its certificates. If
        nothing has to change, return the same policy, and an empty text.
        """
        if policy.ct_logs is None:
            return policy, ""
        if policy.trust is not None:
            return replace(policy, ct_logs=None), "require_ct is left out, because of trust"
        if policy.ct_logs == PLATFORM_LOGS:
            return policy, ""
        return replace(policy, ct_logs=PLATFORM_LOGS), "ct_logs is left out"


class NoReports(PolicyLimitation):
    """Export limitation: the platform sends no reports of pin failures.

    The export omits the URLs for reports.
    """

    aspect = "report_to"
    summary = "`report_to`: failures are not reported"

    def project_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Return the policy without its URLs for reports, and a text that reports this."""
        if not policy.report_to:
            return policy, ""
        return replace(policy, report_to=()), "report_to is left out"


class NoDebug(Limitation):
    """Export limitation: the platform can't replace pins in debug builds.

    The export omits the debug section of the pin set.
    """

    aspect = "debug"
    summary = "`[debug]`: omitted"

    def apply(self, pins: PinSet) -> Projection:
        """Return a copy of the pin set without its debug section, and the omission of this section.

        If the pin set has no such section, return it unchanged, without an omission.
        """
        if pins.debug is None:
            return pins, ()
        omission = Omission(self.aspect, "", f"[debug] is left out: {self.why}")
        return replace(pins, debug=None), (omission,)


# RFC 3986 section 2: reserved and unreserved characters, and percent-encoded ones.
_ALLOWED = ":/?#[]@!$&'()*+,;=-._~%"


class PlainAddresses(PolicyLimitation):
    """Export limitation: report URLs must have only the ASCII characters that RFC 3986 allows.

    The export percent-encodes all other characters.
    """

    aspect = "report_to"
    summary = "`report_to` with characters that RFC 3986 does not allow: percent-encoded"

    def project_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Return the policy with percent-encoded report URLs, and a text that names the changes.

        Only characters that RFC 3986 does not allow are encoded.
        """
        plain = tuple(quote(each, safe=_ALLOWED, errors="replace") for each in policy.report_to)
        if plain == policy.report_to:
            return policy, ""
        changed = [each for each, old in zip(plain, policy.report_to, strict=True) if each != old]
        return replace(policy, report_to=plain), f"report_to becomes {' and '.join(changed)}"
