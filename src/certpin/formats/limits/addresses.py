"""Limitations on report URLs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import quote

from certpin.formats.projection import PolicyLimitation

if TYPE_CHECKING:
    from certpin.pins import HostPolicy

# RFC 3986 section 2: reserved and unreserved characters, and percent-encoded ones.
_ALLOWED = ":/?#[]@!$&'()*+,;=-._~%"


class PlainAddresses(PolicyLimitation):
    """The platform accepts only URLs in the characters of RFC 3986."""

    aspect = "report_to"
    summary = "`report_to` with characters that RFC 3986 does not allow: percent-encoded"

    def project_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Percent-encode the other characters."""
        plain = tuple(quote(each, safe=_ALLOWED, errors="replace") for each in policy.report_to)
        if plain == policy.report_to:
            return policy, ""
        changed = [each for each, old in zip(plain, policy.report_to, strict=True) if each != old]
        return replace(policy, report_to=plain), f"report_to becomes {' and '.join(changed)}"
