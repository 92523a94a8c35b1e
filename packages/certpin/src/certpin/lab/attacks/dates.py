"""Cases of expired and future certificates. The leaf has the server's own key."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from certpin.lab.authority import Authority
from certpin.lab.case import ALL_REJECT, Case, Expect, Expected, Family, lab_leaf_scenario
from certpin.lab.scenario import Scenario, ServerStep

if TYPE_CHECKING:
    from datetime import datetime

    from certpin.lab.pki import TestPKI

# How far a certificate is outside its validity: more than clocks differ or clients tolerate.
_OFF = timedelta(days=14)
_LEAF_LIFE = timedelta(days=47)  # as the lab's authority issues them
_AUTHORITY_LIFE = timedelta(days=3650)
# The pins expire half-way; the certificates are valid for 47 days.
_CLOCK = timedelta(days=30)


def _expired(pki: TestPKI) -> Scenario:
    return _issued(pki, pki.intermediate, pki.now - _LEAF_LIFE - _OFF)


def _not_yet_valid(pki: TestPKI) -> Scenario:
    return _issued(pki, pki.intermediate, pki.now + _OFF)


def _expired_intermediate(pki: TestPKI) -> Scenario:
    """Return a scenario in which the intermediate has expired, and the leaf is still valid.

    A client that checks only the dates of the leaf accepts the chain.
    """
    long_ago = pki.root.at(pki.now - _AUTHORITY_LIFE - _OFF)
    issuer = Authority("Intermediate that expired", issuer=long_ago)
    return _issued(pki, issuer, pki.now - 2 * _OFF)


def _issued(pki: TestPKI, issuer: Authority, moment: datetime) -> Scenario:
    return Scenario.of(ServerStep.of(issuer.at(moment).issue(pki.host, key=pki.leaf.key)))


_FIX = (
    "let the TLS library check the dates in addition to pins: remove callbacks that ignore "
    "'certificate has expired' (X509_V_FLAG_NO_CHECK_TIME, badCertificateCallback, a trust manager "
    "that only compares pins), and set the device's clock"
)

DATES = (
    Case(
        name="expired",
        family=Family.DATE,
        presents="I→L that expired two weeks ago",
        expected=ALL_REJECT,
        guards="that dates are checked in addition to pins: after a certificate expires, its key "
        "is no longer protected or revoked",
        reference="RFC 5280 section 6.1.3 (a)(2)",
        fix=_FIX,
        scenario=_expired,
    ),
    Case(
        name="not-yet-valid",
        family=Family.DATE,
        presents="I→L that becomes valid in two weeks",
        expected=ALL_REJECT,
        guards="that notBefore is checked, as well as notAfter",
        reference="RFC 5280 section 6.1.3 (a)(2)",
        fix=_FIX,
        scenario=_not_yet_valid,
    ),
    Case(
        name="expired-intermediate",
        family=Family.DATE,
        presents="R→I′→L, where I′ expired two weeks ago and L has not",
        expected=ALL_REJECT,
        guards="that dates are checked for every certificate of the path, not only for the leaf",
        reference="RFC 5280 section 6.1.3 (a)(2)",
        fix=_FIX,
        scenario=_expired_intermediate,
    ),
    Case(
        name="pin-set-expired",
        family=Family.DATE,
        presents="I→L, still valid, to a client whose clock is 30 days ahead: after the expiry of "
        "its pins (libfaketime)",
        expected=Expected(Expect.UNDEFINED, Expect.POLICY, Expect.POLICY),
        guards="what happens when pins expire. Fail closed (certpin's default): the client "
        "refuses the honest server too. Fail open (Android, TrustKit): pinning ends silently, and "
        "an attacker who can set the clock can end it. Statically linked programs, as Go's often "
        "are, don't see the moved clock, and accept",
        reference="OWASP MASTG-TEST-0243",
        fix="choose the behaviour, and document it: on_expiry in pins.toml. Ship new pins "
        "long before, and monitor the date (certpin check)",
        scenario=lab_leaf_scenario,
        clock=_CLOCK,
    ),
)
