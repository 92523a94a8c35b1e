"""The verdict: whether a verified chain satisfies a policy at a given time.

Pure: the same arguments give the same verdict. Four steps, in this order:

1. Without a verified chain, the connection is refused (CVE-2016-2402 accepted an unverified one).
   The caller passes the chain that OpenSSL verified, never the one that was served.
2. A path that ends at an anchor of the debug override is accepted, and marked as such.
3. A path with a key marked `compromised` is refused, wherever the key is and whatever else matches:
   an attacker may have it. This precedes expiry, so that `fail-open` doesn't accept it. In mode
   `report` it is reported.
4. If the pins have expired, ``on_expiry`` decides. Otherwise a live pin must be the digest of a
   certificate of the path (RFC 7469 section 2.6), among those that ``match`` includes.
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
    """The decision about a connection, and its reason.

    ``decision`` is ``accept``, ``refuse``, or ``report``: accept and report it. ``certificate`` is
    the one with the matched pin, or with the compromised key. A verdict has no truth value, so that
    ``if verdict:`` can't be mistaken for a check.
    """

    decision: Decision
    reason: Reason
    policy: HostPolicy
    chain: Chain | None
    matched: HostPin | None = None
    certificate: Certificate | None = None

    @property
    def is_finding(self) -> bool:
        """True if it should be reported: a refusal, or a failure that was accepted."""
        return self.decision != "accept"

    def raise_for_refusal(self, host: str) -> None:
        """Raise ``PinMismatchError`` or ``PinSetExpiredError`` if the decision is to refuse."""
        if self.decision != "refuse":
            return
        kind = PinSetExpiredError if self.reason == "expired" else PinMismatchError
        raise kind(explain(self, host), verdict=self, host=host, fix=advice(self, host))

    def __bool__(self) -> NoReturn:
        raise TypeError("a verdict is not true or false: use its decision")


def verify(
    chain: Chain | None,
    policy: HostPolicy,
    now: datetime,
    *,
    debug_anchors: frozenset[bytes] = frozenset(),
) -> Verdict:
    """Return the verdict on a verified chain.

    Signatures, names and dates of the chain are not checked here: OpenSSL did that.

    Args:
        chain: the chain that OpenSSL verified, or ``None`` if there is none.
        policy: the policy of the host.
        now: the time of the connection, with a time zone.
        debug_anchors: SHA-256 fingerprints of the trust anchors of the debug override.
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
    """Return the first certificate on the path that is marked compromised, or has such a key."""
    if not policy.compromised:
        return None
    return next(
        (
            certificate
            for certificate in chain.certificates
            if not policy.compromised.isdisjoint(pins_of(certificate))
        ),
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
