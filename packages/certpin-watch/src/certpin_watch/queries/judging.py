"""What watched pin sets, and every version of them that is alive, say to a chain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from certpin.errors import CertificateParseError
from certpin.pins import verify
from certpin_watch.expiry import near

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from certpin.pins import PinSet
    from certpin.rotation import Version
    from certpin.x509 import Chain
    from certpin_watch.watched import Glance, WatchedSet

# As a verdict's reasons; `unpinned` where no policy covers the host.
Answer = Literal["match", "compromised-key", "mismatch", "expired", "no-chain", "unpinned"]


class Judge:
    """One moment of the watched pin sets. What each set's journal means is worked out once."""

    def __init__(self, glance: Glance, now: datetime) -> None:
        self.sets = glance.sets
        self.now = now
        self._alive = {each.path: each.alive(now) for each in glance.sets}

    def alive(self, watched: WatchedSet) -> tuple[Version, ...]:
        """The versions of a set that some client may hold."""
        return self._alive[watched.path]

    def answer(self, host: str, chain: Chain | None) -> Answer:
        """What the pin files say now; where several cover the host, the worst of it."""
        answers = [_answer(each.pins, host, chain, self.now) for each in self.sets]
        order: tuple[Answer, ...] = (
            *("no-chain", "compromised-key", "mismatch", "expired", "match"),
        )
        return next((each for each in order if each in answers), "unpinned")

    def refusing(self, host: str, chain: Chain | None) -> tuple[int, ...]:
        """The numbers of the versions alive whose clients refuse this path.

        Pins past their date are another matter: they refuse everything.
        """
        versions = [each.pins for watched in self.sets for each in self.alive(watched)]
        found = {pins.version for pins in versions if _refuses(pins, host, chain, self.now)}
        return tuple(sorted(found))

    def ends_soon(self, host: str, chain: Chain | None, warning: timedelta) -> bool:
        """Whether a certificate of a chain has ended or ends soon, as the monitor has it."""
        if chain is None:
            return False
        policies = [(each.pins.policy_for(host), each.timing.adopt) for each in self.sets]
        covers = [(policy, adopt) for policy, adopt in policies if policy is not None]
        try:
            return any(
                each.not_after - self.now < near(each, warning, authority=at > 0, covers=covers)
                for at, each in enumerate(chain.certificates)
            )
        except CertificateParseError:
            return False


def _answer(pins: PinSet, host: str, chain: Chain | None, now: datetime) -> Answer:
    policy = pins.policy_for(host)
    if policy is None:
        return "unpinned"
    reason = verify(chain, policy, now).reason
    return "match" if reason == "debug-anchor" else reason


def _refuses(pins: PinSet, host: str, chain: Chain | None, now: datetime) -> bool:
    policy = pins.policy_for(host)
    if policy is None:
        return False
    verdict = verify(chain, policy, now)
    return verdict.decision == "refuse" and verdict.reason != "expired"
