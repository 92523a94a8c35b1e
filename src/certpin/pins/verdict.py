"""The decision: does this verified chain satisfy this policy, now?

Pure: the same arguments give the same verdict. Four steps, in this order:

1. No chain, no connection, whatever the policy says (CVE-2016-2402 began with a chain that nobody
   had verified). The caller passes the chain that OpenSSL verified, never the one that was served.
2. A path that ends at an anchor of the debug override is accepted, and marked as such.
3. A path that contains a key marked `compromised` is refused, wherever on the path it is and
   whatever else matches: its owner no longer knows who signs with it. This comes before expiry, so
   that `fail-open` doesn't let it through. In mode `report` it is reported.
4. Pins past their date do what ``on_expiry`` says. Otherwise one live pin has to be the digest of
   one certificate of the path (RFC 7469 section 2.6), among those that ``match`` admits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NoReturn

from certpin.errors import PinMismatchError, PinSetExpiredError
from certpin.pins.explain import advice, explain
from certpin.pins.pin import pins_of

if TYPE_CHECKING:
    from datetime import datetime

    from certpin.pins.policy import HostPin, HostPolicy, Match
    from certpin.x509 import Certificate, Chain

Decision = Literal["accept", "report", "refuse"]
Reason = Literal["match", "debug-anchor", "compromised-key", "expired", "mismatch", "no-chain"]


@dataclass(frozen=True)
class Verdict:
    """What was decided, from what, and why.

    ``decision`` is ``accept``, ``refuse``, or ``report``: let it pass and report it.
    ``certificate`` is the one that decided: it has the pin that matched, or the compromised key.
    A verdict has no truth value, so that nobody forgets to ask which one it is.
    """

    decision: Decision
    reason: Reason
    policy: HostPolicy
    chain: Chain | None
    matched: HostPin | None = None
    certificate: Certificate | None = None

    @property
    def is_finding(self) -> bool:
        """Whether somebody should hear of it: a refusal, or a failure that was let pass."""
        return self.decision != "accept"

    def raise_for_refusal(self, host: str) -> None:
        """Raise ``PinMismatchError`` or ``PinSetExpiredError`` if the decision is to refuse."""
        if self.decision != "refuse":
            return
        kind = PinSetExpiredError if self.reason == "expired" else PinMismatchError
        raise kind(explain(self, host), verdict=self, host=host, fix=advice(self, host))

    def __bool__(self) -> NoReturn:
        raise TypeError("a verdict is not true or false: ask for its decision")


def verify(
    chain: Chain | None,
    policy: HostPolicy,
    now: datetime,
    *,
    debug_anchors: frozenset[bytes] = frozenset(),
) -> Verdict:
    """Decide. ``chain`` is the verified one; ``now`` has a time zone.

    ``debug_anchors`` are SHA-256 fingerprints of whole certificates.
    Not checked here: signatures, names and dates of the chain. OpenSSL did that, or there is none.
    """
    if chain is None or not chain.certificates:
        return Verdict("refuse", "no-chain", policy, None)
    if debug_anchors and chain.certificates[-1].sha256 in debug_anchors:
        return Verdict("accept", "debug-anchor", policy, chain)
    enforced: Decision = "refuse" if policy.mode == "enforce" else "report"
    if compromised := _compromised(chain, policy):
        return Verdict(enforced, "compromised-key", policy, chain, certificate=compromised)
    if policy.expired(now):
        if policy.on_expiry == "fail-closed":
            return Verdict(enforced, "expired", policy, chain)
        if policy.on_expiry == "fail-open":
            return Verdict("accept", "expired", policy, chain)
        enforced = "report"
    return _match(chain, policy, enforced)


def _compromised(chain: Chain, policy: HostPolicy) -> Certificate | None:
    """The first certificate of the path that is marked compromised, by its key or as a whole."""
    if not policy.compromised:
        return None
    return next(
        (each for each in chain.certificates if not policy.compromised.isdisjoint(pins_of(each))),
        None,
    )


def _match(chain: Chain, policy: HostPolicy, otherwise: Decision) -> Verdict:
    for certificate in _admitted(chain, policy.match):
        entry = policy.keys.get(certificate.spki_sha256)
        if entry is None and policy.certificates:
            entry = policy.certificates.get(certificate.sha256)
        if entry is not None:
            return Verdict("accept", "match", policy, chain, entry, certificate)
    return Verdict(otherwise, "mismatch", policy, chain)


def _admitted(chain: Chain, match: Match) -> tuple[Certificate, ...]:
    if match == "any":
        return chain.certificates
    return (chain.leaf,) if match == "leaf" else chain.authorities
