"""What a context enforces at one moment: swapped as a whole, never changed."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from certpin.pins import verify
from certpin.x509 import Chain

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from certpin.pins import HostPolicy, PinSet, Verdict

_HOSTS = 4096  # hosts of one context that are kept resolved
_CHAINS = 64  # chains of one host that are kept judged


class Match(NamedTuple):
    """A chain that matched: OpenSSL's certificates, the same as DER, and the verdict."""

    certificates: list[Any]
    chain: tuple[bytes, ...]
    verdict: Verdict
    expires: datetime | None  # the moment from which its policy no longer holds


class Target:
    """A host as one state sees it: its policy, and the store whose roots alone may vouch for it.

    ``policy`` is ``None`` where no pins hold, ``store`` where the platform's roots do.
    """

    __slots__ = ("_matched", "host", "last_match", "policy", "store")

    def __init__(self, host: str, policy: HostPolicy | None, store: ssl.SSLContext | None) -> None:
        self.host = host
        self.policy = policy
        self.store = store
        self._matched: dict[tuple[bytes, ...], Verdict] = {}
        self.last_match: Match | None = None

    def judge(
        self,
        chain: tuple[bytes, ...],
        clock: Callable[[], datetime],
        debug_anchors: frozenset[bytes],
    ) -> Verdict | None:
        """The verdict on a verified chain; ``None`` where no pins hold.

        A chain that matched once matches for as long as the policy holds: it is looked up, not
        verified again, and the clock is read only where there is a date. Raises
        ``CertificateParseError`` on a certificate that isn't strict DER.
        """
        policy = self.policy
        if policy is None:
            return None
        seen = self._matched.get(chain)
        if seen is not None and (policy.expires is None or not policy.expired(clock())):
            return seen
        verdict = verify(
            Chain.from_der(chain) if chain else None, policy, clock(), debug_anchors=debug_anchors
        )
        if verdict.reason == "match":
            if len(self._matched) >= _CHAINS:
                self._matched.clear()
            self._matched[chain] = verdict
        return verdict


class DebugAnchors(NamedTuple):
    """SHA-256 fingerprints: of the debug override's anchors, and of those that were its before."""

    in_force: frozenset[bytes] = frozenset()
    withdrawn: frozenset[bytes] = frozenset()


class PinState:
    """The pin set, the trust store of each ``trust`` that it names, and the debug anchors.

    ``stores`` is keyed by ``TrustAnchors.digest``. ``target`` takes a normalised host.
    """

    def __init__(
        self,
        pins: PinSet,
        stores: Mapping[bytes, ssl.SSLContext],
        debug: DebugAnchors,
    ) -> None:
        self.pins = pins
        self.debug = debug
        self._stores = stores
        self.target = lru_cache(maxsize=_HOSTS)(self._target)

    def _target(self, host: str) -> Target:
        policy = self.pins.policy_for(host)
        trust = policy.trust if policy else None
        return Target(host, policy, self._stores[trust.digest] if trust else None)
