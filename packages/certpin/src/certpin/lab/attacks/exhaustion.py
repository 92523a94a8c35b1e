"""Cases of chains that exhaust a verifier. A client that reaches a limit must refuse the chain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509

from certpin.lab.attacks.leaves import with_other_names
from certpin.lab.case import PINS_REJECT_MAYBE_ALL, Case, Family

if TYPE_CHECKING:
    from certpin.lab.pki import TestPKI
    from certpin.lab.scenario import Scenario

_NAMES = 10_000
# Go refuses more than 250,000 comparisons, and OpenSSL more than 2^20 (NAME_CHECK_MAX). The product
# is just below the latter, and the chain below OpenSSL's limit of 100 KiB.
_FACTOR = 1_020


def _product(pki: TestPKI) -> Scenario:
    """Return a scenario with a chain whose verification takes about a million name comparisons.

    The intermediate has many name constraints, and the leaf has as many names. The root is R2, an
    attacker's root that clients trust, so pins must refuse the chain if the verifier does not.
    """
    excluded = [x509.DNSName(f"{number}.evil.example") for number in range(_FACTOR)]
    limits = x509.NameConstraints(permitted_subtrees=None, excluded_subtrees=excluded)
    issuer = pki.rogue.intermediate(
        "Rogue intermediate with many constraints",
        change=lambda builder: builder.add_extension(limits, critical=True),
    )
    return with_other_names(issuer, pki.host, _FACTOR - 1)


_FIX = (
    "treat a limit that is reached as a refusal, never as an end of the check, and compare pins "
    "before any work that depends on the size of a certificate"
)

EXHAUSTION = (
    Case(
        name="exhausting-names",
        family=Family.CHAIN,
        presents=f"R2→L′ with {_NAMES:,} names: larger than many libraries read",
        expected=PINS_REJECT_MAYBE_ALL,
        guards="that a message which is too large is refused, and not replaced by a weaker check",
        reference="CWE-400; CWE-770; RFC 8446 section 4.4.2",
        fix=_FIX,
        scenario=lambda pki: with_other_names(pki.rogue, pki.host, _NAMES),
    ),
    Case(
        name="exhausting-name-constraints",
        family=Family.CHAIN,
        presents=f"R2→X→L′: X excludes {_FACTOR:,} names, and L′ has as many, so that there are "
        "a million comparisons",
        expected=PINS_REJECT_MAYBE_ALL,
        guards="that a verifier which gives up on the product of name constraints refuses",
        reference="CVE-2018-16875; CWE-407; RFC 5280 section 4.2.1.10",
        fix=_FIX,
        scenario=_product,
    ),
)
