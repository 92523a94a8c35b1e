"""Export limitations on the settings of a policy: pins, match, expiry, trust, mode, reports, debug.

A backup pin is treated as the pin of a server's key, unless all other pins are of authorities.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote

from certpin.errors import ConfigError
from certpin.formats.projection import Limitation, Omission, PolicyLimitation, Projection
from certpin.pins import TrustAnchors, pins_of
from certpin.x509 import Certificate
from certpin.x509.log_list import PLATFORM_LOGS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from certpin.pins import HostPin, HostPolicy, PinSet


class KeysOnly(PolicyLimitation):
    """Export limitation: the platform compares only public keys, not whole certificates."""

    aspect = "pins"
    summary = "pins of whole certificates (`cert-sha256/…`): omitted"

    def project_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Return a copy of the policy without pins of whole certificates, and the omission as text.

        Raises ``ConfigError`` if no pin would be left.
        """
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
    """Export limitation: the platform requires two pins per host, also in report-only mode."""

    aspect = "pins"
    summary = 'a single pin, which `mode = "report"` allows: refused'

    def project_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Return the policy unchanged. Raises ``ConfigError`` if it has a single pin."""
        if len(policy.live_pins) < 2:
            raise ConfigError(
                "there is only one pin",
                key="pin",
                fix="add a backup: certpin add HOST --backup-key FILE",
            )
        return policy, ""


class NoCompromised(PolicyLimitation):
    """Export limitation: the platform has a list of keys to accept, but no list of keys to refuse.

    A format lists this limitation first. The limitations after it then get only the pins that
    clients accept.
    """

    aspect = "compromised"
    summary = "`compromised` keys: a path that contains one is accepted if another pin matches"

    def project_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Return a copy of the policy without its compromised pins, and a text that names them.

        The platform can't refuse the keys of such pins.
        """
        if not policy.compromised:
            return policy, ""
        lost = ", ".join(sorted(map(str, policy.compromised)))
        kept = tuple(entry for entry in policy.pins if entry.state != "compromised")
        return replace(policy, pins=kept), f"{lost} is compromised, and is not refused"


class AnywhereInChain(PolicyLimitation):
    """Export limitation: the platform compares the pins with every certificate of the chain."""

    aspect = "match"
    summary = '`match = "leaf"` and `"ca"`: a pin may match anywhere in the chain'

    def project_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Return a copy of the policy with ``match`` set to ``any``, and the change as text.

        The platform lets every certificate of the chain match.
        """
        if policy.match == "any":
            return policy, ""
        return replace(policy, match="any"), f'match = "{policy.match}" becomes "any"'


class LeafOnly(PolicyLimitation):
    """Export limitation: the platform compares only the leaf certificate with the pins."""

    aspect = "match"
    summary = "pins of authorities: only the leaf's key is compared"
    root_sets = "A root set can't work: only the leaf's key is compared, never the root's."

    def project_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Return a copy of the policy with only pins that a leaf can match.

        Also return the omission as text. Raises ``ConfigError`` if no pin would be left.
        """
        policy, unseen = without_unseen(policy)
        if policy.match == "leaf":
            return policy, unseen
        kept = _for_leaves(policy)
        if policy.match == "ca" or not kept:
            raise ConfigError(
                "none of its pins can match a leaf",
                key="pin",
                fix="also pin the server's own key, or choose a platform that compares the chain",
            )
        words = "; ".join(filter(None, (_narrowed(policy, kept), unseen)))
        return replace(policy, match="leaf", pins=kept), words


class LeafOrAuthority(PolicyLimitation):
    """Export limitation: the platform has a pin list for leaves and one for authorities.

    If both are set, a chain has to match both.
    """

    aspect = "match"
    summary = '`match = "any"`: becomes `"leaf"` or `"ca"`, depending on the roles of the pins'

    def project_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Return a copy of the policy with ``match`` ``leaf`` or ``ca``, and the change as text.

        With one of these values, the export fills only one of the platform's two lists of pins.
        """
        if policy.match != "any":
            return policy, ""
        kept = _for_leaves(policy)
        if not kept:
            return replace(policy, match="ca"), 'match = "any" becomes "ca"'
        return replace(policy, match="leaf", pins=kept), _narrowed(policy, kept)


def without_unseen(policy: HostPolicy) -> tuple[HostPolicy, str]:
    """Return a copy of the policy without compromised authority pins, and the omission as text.

    The platform compares only the leaf, so it can't refuse a chain because of an authority's key.
    """
    unseen = [
        entry
        for entry in policy.pins
        if entry.state == "compromised" and entry.role in {"intermediate", "root"}
    ]
    if not unseen:
        return policy, ""
    lost = ", ".join(f"{entry.pin} ({entry.role})" for entry in unseen)
    kept = tuple(entry for entry in policy.pins if entry not in unseen)
    return replace(policy, pins=kept), f"{lost} is compromised, and is not refused"


def _for_leaves(policy: HostPolicy) -> tuple[HostPin, ...]:
    """Return the policy's pins with the roles leaf and backup, which a leaf certificate can match.

    An empty tuple if all pins that are not backups have the role of an authority.
    """
    roles = {entry.role for entry in policy.live_pins.values()} - {"backup"}
    if roles and roles <= {"intermediate", "root"}:
        return ()
    return tuple(entry for entry in policy.pins if entry.role in {"leaf", "backup"})


def _narrowed(policy: HostPolicy, kept: tuple[HostPin, ...]) -> str:
    lost = [f"{entry.pin} ({entry.role})" for entry in policy.pins if entry not in kept]
    left_out = f", and {', '.join(lost)} is left out" if lost else ""
    return f'match = "any" becomes "leaf"{left_out}'


class LeafOrAnchors(LeafOnly):
    """Export limitation: the platform compares only the leaf, but can replace the system's roots.

    If every anchor of ``trust`` (the policy's private trust anchors) is pinned, every verified
    chain matches a pin: the anchors then replace the pins, and nothing is omitted.
    """

    summary = (
        "pins of authorities, unless `trust` contains exactly their certificates: "
        "only the leaf is compared"
    )
    root_sets = (
        "A root set works only if `trust` contains exactly the certificates of its roots, or "
        "`--ca-file` a bundle from which certpin takes them."
    )

    def project_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Return a copy of the policy for a platform that compares only leaves.

        All pins stay if every trust anchor is pinned; otherwise only the pins that a leaf can
        match. Compromised pins of authorities never stay. Also return the omission as text. Raises
        ``ConfigError`` if no pin would be left.
        """
        if _anchors_are_pinned(policy):
            return without_unseen(policy)
        try:
            return super().project_policy(policy)
        except ConfigError as exc:
            raise ConfigError(
                exc.problem,
                key=exc.key,
                fix="also pin the server's own key and a backup, or set `trust` to a file "
                "with exactly the certificates of the pinned authorities, or name a bundle that "
                "contains them: --ca-file FILE",
            ) from exc


def with_anchors(
    policy: HostPolicy, certificates: Sequence[Certificate], source: str
) -> tuple[HostPolicy, str]:
    """Return a policy that trusts only authorities that it pins, and the pins that this leaves out.

    Its trust anchors become those of ``certificates`` that have a pinned key. A policy is returned
    unchanged if it has anchors already or pins a server's key. It is also returned unchanged if no
    certificate has a pinned key: a limitation of the platform then refuses the policy.

    Args:
        policy: the policy.
        certificates: the certificates of authorities. Only their keys are compared: neither their
            dates nor their signatures are checked.
        source: the name of the file with the certificates.

    Returns:
        The policy, and a clause that names its pins without a certificate; empty if there are none.
    """
    if policy.trust is not None or (policy.match != "ca" and _for_leaves(policy)):
        return policy, ""
    found = [each for each in certificates if not policy.live_pins.keys().isdisjoint(pins_of(each))]
    if not found:
        return policy, ""
    anchors = TrustAnchors(tuple(dict.fromkeys(each.der for each in found)), source)
    known = {pin for each in found for pin in pins_of(each)}
    missing = [
        f"{pin} ({entry.note or entry.role})"
        for pin, entry in policy.live_pins.items()
        if pin not in known
    ]
    verb, whose = ("has", "its") if len(missing) == 1 else ("have", "their")
    lost = (
        f"{', '.join(missing)} {verb} no certificate in {source!r}, so {whose} chains are refused"
    )
    return replace(policy, trust=anchors), lost if missing else ""


def _anchors_are_pinned(policy: HostPolicy) -> bool:
    if policy.trust is None:
        return False
    anchors = [pins_of(Certificate.from_der(der)) for der in policy.trust.der]
    return all(policy.live_pins.keys() & set(each) for each in anchors)


class AnchorsOnly(PolicyLimitation):
    """Export limitation: the platform supports no pins, but only trust anchors.

    The platform accepts every chain to the anchors in ``trust``. The file lists the pins as
    comments. Nothing is omitted if every anchor is pinned.
    """

    aspect = "pins"
    summary = "pins: every chain to an anchor of `trust` is accepted; `trust` is required"
    root_sets = (
        "A root set works as `trust` with exactly the certificates of its roots, or with "
        "`--ca-file`, a bundle from which certpin takes them."
    )

    def project_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Return the policy unchanged, and the omission as text.

        There is an omission if the policy's trust anchors accept more chains than its pins do.
        Raises ``ConfigError`` if the policy has no private trust anchors (``trust``).
        """
        if policy.trust is None:
            raise ConfigError(
                'it has trust = "system", which does not restrict the authorities',
                key="trust",
                fix='set trust to the certificate of the authority: trust = "root.pem"; if the '
                "authority is pinned, name a bundle that contains it: --ca-file FILE",
            )
        if _anchors_are_pinned(policy) and policy.match != "leaf":
            return policy, ""
        return policy, f"every chain to {policy.trust.source!r} is accepted, pinned or not"


class NoExpiry(PolicyLimitation):
    """Export limitation: the platform has no expiry date, so that pins stay until replaced."""

    aspect = "expires"
    summary = "`expires`: the pins stay in force after it"

    def project_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Return a copy of the policy without its expiry date, and the omission as text."""
        if policy.expires is None:
            return policy, ""
        return _without_date(policy), "expires is left out, so the pins stay in force after it"


class FailOpenDate(PolicyLimitation):
    """Export limitation: the platform accepts any key after the expiry date.

    For ``fail-closed`` policies the date is omitted. Pins that stay in force too long can lock
    clients out, but without pins an attacker with any valid certificate would be accepted.
    """

    aspect = "expires"
    summary = (
        '`on_expiry` other than `"fail-open"`: with `"fail-closed"` the date is omitted, so that '
        'pinning never stops; `"report"` becomes `"fail-open"`; a time of day: the next midnight'
    )

    def project_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Return a copy of the policy that expires as the platform does, and the changes as text.

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

    A report-only host is omitted, because enforcing its pins could lock clients out.
    """

    aspect = "mode"
    summary = '`mode = "report"`: the host is omitted, or refused if a wildcard would cover it'

    def apply(self, pins: PinSet) -> Projection:
        """Return a copy of the pin set without report-only hosts, and the omissions.

        Raises ``ConfigError`` if a wildcard's pins would then be enforced for such a host.
        """
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
        """Return the policy unchanged, or ``None`` if its mode is ``report``.

        In the second case, also return the omission as text.
        """
        if policy.mode == "enforce":
            return policy, ""
        return None, 'mode = "report": the host is left out'


class NoTrust(PolicyLimitation):
    """Export limitation: the exported file can't replace the platform's roots for a host."""

    aspect = "trust"
    summary = "`trust`: the platform uses its own roots"

    def project_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Return a copy of the policy without its trust anchors, and the omission as text."""
        if policy.trust is None:
            return policy, ""
        return replace(policy, trust=None), f"trust = {policy.trust.source!r} is left out"


class NoTransparency(PolicyLimitation):
    """Export limitation: the platform checks no signed certificate timestamps (SCTs)."""

    aspect = "require_ct"
    summary = "`require_ct`: a certificate without SCTs is accepted"

    def project_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Return a copy of the policy that doesn't require SCTs, and the omission as text."""
        if policy.ct_logs is None:
            return policy, ""
        return replace(policy, ct_logs=None), "require_ct is left out"


class PlatformTransparency(PolicyLimitation):
    """Export limitation: the platform checks SCTs with its own list of public logs."""

    aspect = "require_ct"
    summary = (
        "`ct_logs`: the platform has its own list of logs; `require_ct` of a host with `trust`: "
        "omitted, because no public log has the certificates of a private authority"
    )

    def project_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Return a copy of the policy with the platform's list of logs, and the change as text.

        With a private authority, the requirement of Certificate Transparency is omitted instead.
        """
        if policy.ct_logs is None:
            return policy, ""
        if policy.trust is not None:
            return replace(policy, ct_logs=None), "require_ct is left out, because of trust"
        if policy.ct_logs == PLATFORM_LOGS:
            return policy, ""
        return replace(policy, ct_logs=PLATFORM_LOGS), "ct_logs is left out"


class NoReports(PolicyLimitation):
    """Export limitation: the platform sends no reports of pin failures."""

    aspect = "report_to"
    summary = "`report_to`: failures are not reported"

    def project_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Return a copy of the policy without its URLs for reports, and the omission as text."""
        if not policy.report_to:
            return policy, ""
        return replace(policy, report_to=()), "report_to is left out"


class NoDebug(Limitation):
    """Export limitation: the platform can't replace pins in debug builds."""

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


def _and_above(name: str) -> Iterator[str]:
    """Yield a domain name and then each of its parent domains."""
    while name:
        yield name
        name = name.partition(".")[2]


# RFC 3986 section 2: reserved and unreserved characters, and percent-encoded ones.
_ALLOWED = ":/?#[]@!$&'()*+,;=-._~%"


class PlainAddresses(PolicyLimitation):
    """Export limitation: the platform accepts only ASCII characters of RFC 3986 in report URLs."""

    aspect = "report_to"
    summary = "`report_to` with characters that RFC 3986 does not allow: percent-encoded"

    def project_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Return a copy of the policy with percent-encoded report URLs, and the changes as text.

        Only characters that RFC 3986 does not allow are encoded.
        """
        plain = tuple(quote(each, safe=_ALLOWED, errors="replace") for each in policy.report_to)
        if plain == policy.report_to:
            return policy, ""
        changed = [each for each, old in zip(plain, policy.report_to, strict=True) if each != old]
        return replace(policy, report_to=plain), f"report_to becomes {' and '.join(changed)}"
