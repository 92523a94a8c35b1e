"""Judge a chain that clients met: do the pins accept it, and did an authority issue it?

Alerts, pages and the API all ask here, so that they cannot disagree. Who issued a chain
(``facts.issuer``) is shown beside the verdict and never decides it: the authority that issues your
certificates can issue one to an attacker.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from certpin.errors import HostError
from certpin.pins import pins_of, verify
from certpin.x509 import Chain
from certpin_watch.queries.authority import REMEMBERED, is_vouched_for
from certpin_watch.queries.issuer import public_roots

if TYPE_CHECKING:
    from collections.abc import Sequence

    from certpin.pins import HostPolicy
    from certpin.x509 import Certificate
    from certpin_watch.watched import WatchedSet

_LONGEST = 12  # certificates of a chain that are looked at
_ANY_TIME = datetime(2026, 1, 1, tzinfo=UTC)  # for policies without an end

# `accepted`: a live version of the pins accepts it. `issued`: none does, and an authority issued it
# for this host. `refused`: none does. `unknown`: there is no chain, or no pin set covers the host.
Verdict = Literal["accepted", "issued", "refused", "unknown"]


@dataclass(frozen=True)
class ChainJudge:
    """The pins of the pin files, and of every version that clients may hold at ``now``."""

    sets: tuple[WatchedSet, ...]
    now: datetime

    def verdict(
        self, host: str, chain: tuple[bytes, ...], since: datetime | None = None
    ) -> Verdict:
        """Judge a chain.

        If several pin sets cover the host, it is enough that one of them accepts the chain: its key
        is the operator's then. Whether pins have expired is not checked.

        Args:
            host: The host that the reports name.
            chain: DER certificates, leaf first. It may end below the root.
            since: When its first report arrived, by this machine's clock; by default now.

        """
        policies = self._policies(host)
        if not policies or not chain:
            return "unknown"
        chain = chain[:_LONGEST]
        if _accepts(chain, policies, self._roots()):
            return "accepted"
        for policy in policies:
            roots = policy.trust.der if policy.trust is not None else public_roots()
            if is_vouched_for(chain, host, roots, since or self.now, self.now):
                return "issued"
        return "refused"

    def _policies(self, host: str) -> tuple[HostPolicy, ...]:
        """The policies of a host, without their dates: pins that expired are its pins still."""
        found: dict[HostPolicy, None] = {}
        for each in self.sets:
            try:
                if each.pins.policy_for(host) is None:
                    continue
                versions = (each.pins, *(version.pins for version in each.alive(self.now)))
                policies = (pins.policy_for(host) for pins in versions)
            except HostError:
                return ()
            found |= {replace(policy, expires=None): None for policy in policies if policy}
        return tuple(found)

    def _roots(self) -> tuple[bytes, ...]:
        """The roots of the pin files and of this machine.

        Servers do not send the root, which may be the pinned certificate; and a client whose clock
        is wrong has verified nothing, and reports the chain as the server sent it.
        """
        policies = (policy for each in self.sets for policy in each.pins.policies)
        named = (der for policy in policies if policy.trust for der in policy.trust.der)
        return tuple(dict.fromkeys((*named, *public_roots())))


@lru_cache(maxsize=REMEMBERED)
def _accepts(
    chain: tuple[bytes, ...], policies: Sequence[HostPolicy], roots: tuple[bytes, ...]
) -> bool:
    """Return True if one of the policies accepts the path from the leaf.

    A key that one of them calls compromised is accepted by none of them: a client that holds an
    older version would accept its thief.
    """
    path = signed_path(chain, roots)
    if path is None or _has_compromised_key(path, policies):
        return False
    return any(verify(path, policy, _ANY_TIME).reason == "match" for policy in policies)


def _has_compromised_key(path: Chain, policies: Sequence[HostPolicy]) -> bool:
    dead = {pin.pin for each in policies for pin in each.pins if pin.state == "compromised"}
    return any(pin in dead for each in path.certificates for pin in pins_of(each))


def signed_path(chain: tuple[bytes, ...], roots: tuple[bytes, ...] = ()) -> Chain | None:
    """Return the path from the leaf up to a root, as far as signatures are valid.

    A certificate that was merely sent along is not on it (CVE-2016-2402). None if the leaf cannot
    be read.
    """
    from certpin.x509.chain import Signature, chain_paths

    found: list[Certificate] = []
    for place in chain_paths(chain, roots)[0].certificates if chain else ():
        if place.facts.certificate is None:
            break
        found.append(place.facts.certificate)
        if place.above is not Signature.GOOD:
            break
    return Chain(tuple(found)) if found else None
