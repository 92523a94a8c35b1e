"""Cases of keys that are almost pinned: a key of another host, a key with a similar pin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lab.case import PINS_REJECT, Case, Family
from certpin.lab.pki import similar_key
from certpin.lab.scenario import Scenario, ServerStep

if TYPE_CHECKING:
    from certpin.lab.pki import TestPKI


def _second_hosts_key(pki: TestPKI) -> Scenario:
    return Scenario.of(ServerStep.of(pki.rogue.issue(pki.host, key=pki.second_leaf.key)))


def _similar_pin(pki: TestPKI) -> Scenario:
    policy = pki.pins.policy_for(pki.host) if pki.pins else None
    pin = policy.pins[0].pin if policy else pki.leaf.pin
    return Scenario.of(ServerStep.of(pki.rogue.issue(pki.host, key=similar_key(pin.digest))))


LOOKALIKES = (
    Case(
        name="second-host-key",
        family=Family.AUTHORITY,
        presents="R2→L′ with the key of the second host's honest server",
        expected=PINS_REJECT,
        guards="that each host has its own pins: in one pool for all hosts, the key of the weakest "
        "server opens all of them",
        reference="RFC 7469 section 2.6: pins are noted for a host",
        fix="look the pins up by the host of the connection, and compare with those only",
        scenario=_second_hosts_key,
    ),
    Case(
        name="similar-pin",
        family=Family.AUTHORITY,
        presents="R2→L′ with a key that has a pin with the same first three characters",
        expected=PINS_REJECT,
        guards="that whole digests are compared: an attacker makes a key for a short beginning in "
        "a second, and for 8 characters in days",
        reference="CWE-1023: incomplete comparison",
        fix="compare all 32 bytes of the digest; don't cut pins for logs and then compare those",
        scenario=_similar_pin,
    ),
)
