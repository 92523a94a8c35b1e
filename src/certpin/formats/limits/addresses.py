"""How the addresses of reports may be written."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import quote

from certpin.formats.fit import PolicyLimit

if TYPE_CHECKING:
    from certpin.pins import HostPolicy

# RFC 3986 section 2: reserved, unreserved, and what is encoded already.
_ALLOWED = ":/?#[]@!$&'()*+,;=-._~%"


class PlainAddresses(PolicyLimit):
    """The platform takes addresses of the letters that RFC 3986 allows."""

    aspect = "report_to"
    summary = "`report_to` with letters that RFC 3986 does not allow: they are percent-encoded"

    def fit_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Encode the other letters."""
        plain = tuple(quote(each, safe=_ALLOWED, errors="replace") for each in policy.report_to)
        if plain == policy.report_to:
            return policy, ""
        changed = [each for each, old in zip(plain, policy.report_to, strict=True) if each != old]
        return replace(policy, report_to=plain), f"report_to becomes {' and '.join(changed)}"
