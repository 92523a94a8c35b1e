"""Cases of post-quantum certificates: an authority or an attacker with an ML-DSA key (RFC 9881)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lab.authority import Authority
from certpin.lab.case import ALL_EITHER, PINS_REJECT_MAYBE_ALL, Case, Family
from certpin.lab.forge import ml_dsa_key
from certpin.lab.scenario import Scenario, ServerStep

if TYPE_CHECKING:
    from certpin.lab.pki import TestPKI


def _authority(pki: TestPKI) -> Scenario:
    issuer = Authority("Intermediate with ML-DSA-65", issuer=pki.root, key=ml_dsa_key())
    return Scenario.legitimate(issuer.issue(pki.host, key=pki.leaf.key))


def _rogue(pki: TestPKI) -> Scenario:
    return Scenario.of(ServerStep.of(pki.rogue.issue(pki.host, key=ml_dsa_key())))


POST_QUANTUM = (
    Case(
        name="ml-dsa-authority",
        family=Family.ROTATION,
        presents="R→I(ML-DSA-65)→L: the same key of the server below an authority with a "
        "post-quantum key",
        expected=ALL_EITHER,
        guards="nothing yet: it shows if the client's TLS library verifies ML-DSA. One that "
        "doesn't refuses the server in its verification, whatever the pins are",
        reference="RFC 9881; FIPS 204",
        fix="use a TLS library with ML-DSA (OpenSSL 3.5) before your authority changes to it",
        scenario=_authority,
    ),
    Case(
        name="rogue-ml-dsa",
        family=Family.AUTHORITY,
        presents="R2→L′ with a post-quantum key (ML-DSA-65)",
        expected=PINS_REJECT_MAYBE_ALL,
        guards="that a pin check doesn't depend on the kind of the key: this one is the newest",
        reference="RFC 9881; CWE-636: not failing securely",
        fix="treat every error of the check as a refusal, and take the SPKI bytes as they are in "
        "the certificate, instead of decoding keys",
        scenario=_rogue,
    ),
)
