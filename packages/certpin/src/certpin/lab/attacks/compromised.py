"""Cases of compromised keys: the chain verifies, and a pin matches.

A client must refuse the chain for one reason only: the pin set marks a key of the chain as
compromised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lab.case import PINS_REJECT, Case, Family
from certpin.lab.scenario import Scenario, ServerStep
from certpin.pins import HostPin

if TYPE_CHECKING:
    from certpin.lab.pki import TestPKI


def stolen_key(pki: TestPKI) -> HostPin:
    """Return the pin set entry that marks the server's former, stolen key as compromised.

    ``pki`` has the keys and certificates of the case, in which an attacker uses this key.
    """
    return HostPin(pki.stolen.pin, "leaf", "compromised")


def stolen_intermediate(pki: TestPKI) -> HostPin:
    """Return the pin set entry that marks the stolen key of an intermediate as compromised.

    ``pki`` has the keys and certificates of the case, in which an attacker issues with this key.
    """
    return HostPin(pki.stolen_intermediate.pin, "intermediate", "compromised")


def _stolen_key(pki: TestPKI) -> Scenario:
    return Scenario.of(ServerStep.of(pki.stolen))


def _stolen_intermediate(pki: TestPKI) -> Scenario:
    """Return a scenario in which the leaf is issued with the stolen key of an intermediate.

    The leaf has the honest server's pinned key, so that a pin matches whether the client pins the
    server's key or an authority.
    """
    return Scenario.of(ServerStep.of(pki.stolen_intermediate.issue(pki.host, key=pki.leaf.key)))


_FIX = (
    "look for keys marked `compromised` on the whole verified path, before any pin is compared and "
    "before the expiry of the pin set, and refuse the connection if there is one"
)

COMPROMISED = (
    Case(
        name="compromised-key",
        family=Family.COMPROMISED,
        presents="I→K: the server's former key, which was stolen and is marked compromised",
        expected=PINS_REJECT,
        guards="that a stolen key is refused although a pin on its authority matches; a pin on "
        "the server's key doesn't match it anyway",
        reference="RFC 7469 section 4.3; RFC 5280 section 5.3.1 (keyCompromise)",
        fix=_FIX,
        scenario=_stolen_key,
        compromised=stolen_key,
    ),
    Case(
        name="compromised-intermediate",
        family=Family.COMPROMISED,
        presents="R→K→L: the pinned key of the server, below an intermediate that is marked "
        "compromised",
        expected=PINS_REJECT,
        guards="that the mark applies to every certificate of the path, not only to the leaf",
        reference="RFC 5280 section 5.3.1 (cACompromise); DigiNotar, 2011",
        fix=_FIX,
        scenario=_stolen_intermediate,
        compromised=stolen_intermediate,
    ),
)
