"""Whose authority signed it?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lab.case import ALL_REJECT, PINS_REJECT, Case, Family
from certpin.lab.script import Act, Script

if TYPE_CHECKING:
    from certpin.lab.cast import Cast


def _untrusted(cast: Cast) -> Script:
    return Script.of(Act.of(cast.untrusted.issue(cast.host)))


def _rogue(cast: Cast) -> Script:
    return Script.of(Act.of(cast.impostor))


_FIX_VERIFICATION = (
    "switch certificate verification on again: look for verify=False, CERT_NONE, -k, "
    "badCertificateCallback returning true, an empty TrustManager"
)

AUTHORITIES = (
    Case(
        name="untrusted-ca",
        family=Family.AUTHORITY,
        presents="U→L′: the right name, under a root that nobody trusts",
        expected=ALL_REJECT,
        guards="that chains are verified at all",
        reference="RFC 5280 section 6.1",
        fix=_FIX_VERIFICATION,
        play=_untrusted,
    ),
    Case(
        name="rogue-ca-in-store",
        family=Family.AUTHORITY,
        presents="R2→L′: the right name, under another root that the client trusts",
        expected=PINS_REJECT,
        guards="that pins are enforced: a company's proxy, Superfish, a root installed by malware",
        reference="OWASP MASTG-TEST-0244",
        fix="pin the server's key, and check the pin on the verified chain of every connection",
        play=_rogue,
    ),
)
