"""What several rules ask of a chain: whether a policy accepts it, its date left aside."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from certpin.pins import Pin, verify

if TYPE_CHECKING:
    from certpin.pins import HostPolicy, Verdict
    from certpin.x509 import Chain
    from certpin_watch.monitor.case import Case, Look


def match(case: Case, policy: HostPolicy, chain: Chain) -> Verdict:
    """The verdict as if the pins had no end: their date is another rule's."""
    return verify(chain, replace(policy, expires=None), case.now)


def accepted(case: Case, look: Look) -> bool:
    """Whether a look shows a chain that verifies and in which a pin matches."""
    return look.verified is not None and match(case, case.policy, look.verified).matched is not None


def leaf_pin(chain: Chain) -> Pin:
    """The pin of the server's own key."""
    return Pin.of_key(chain.leaf.spki_sha256)


def expected_pins(case: Case) -> frozenset[Pin]:
    """Every pin that its owner has named: in the file, in a version alive, or in the journal."""
    watched, pattern = case.charge.watched, case.policy.pattern
    past = watched.history.past(pattern)
    versions = (
        policy.live_pins
        for version in case.alive
        for policy in version.pins.policies
        if policy.pattern == pattern
    )
    named = {*case.policy.live_pins, *past.known, *(pin for each in versions for pin in each)}
    return frozenset(named - past.compromised)
