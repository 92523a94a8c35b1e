"""What is in force: the app's context, and those of the channel that updates come through.

The channel is pinned as the app's other connections are. It accepts what the bundled set accepts,
or what the set in force accepts: a published set that is wrong about this server, or forgot it,
must not be the last that anybody gets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.errors import ConfigError
from certpin.tls import PinnedSSLContext
from certpin.updates.states import Facts
from certpin.updates.trust import require_following

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from certpin.pins import PinSet
    from certpin.updates.trust import SignedSet


class Enforced:
    """The set in force, and ``known``: the newest that was signed, in force or not."""

    def __init__(
        self, pins: PinSet | PinnedSSLContext, host: str, clock: Callable[[], datetime]
    ) -> None:
        self.context = (
            pins if isinstance(pins, PinnedSSLContext) else PinnedSSLContext(pins, clock=clock)
        )
        self.known: SignedSet | None = None
        bundled = self.context.pins
        _require_pinned(bundled, host)
        self._host = host
        self._by_bundled = PinnedSSLContext(bundled, clock=clock)
        self._by_newest = PinnedSSLContext(bundled, clock=clock)

    @property
    def facts(self) -> Facts:
        """What the state follows from."""
        pins, known = self.context.pins, self.known
        if known is None or known.pins.version != pins.version:
            return Facts(pins)
        return Facts(pins, known.promise.until, known.superseded)

    @property
    def channel(self) -> tuple[PinnedSSLContext, ...]:
        """The contexts for the server of the updates, the best first."""
        policy = self._by_newest.pins.policy_for(self._host)
        if policy is None or policy.mode != "enforce":
            return (self._by_bundled,)
        return (self._by_newest, self._by_bundled)

    def adopt(self, signed: SignedSet) -> bool:
        """Put a signed set in force, unless it is already; whether it is another one.

        Raises ``UpdateError`` where it would go back, and then all stays as it was.
        """
        current = self.context.pins
        require_following(signed.pins, current)
        newer = signed.pins.version > current.version
        if newer:
            self._by_newest.swap(signed.pins)  # what cannot be enforced fails here
            self.context.swap(signed.pins)
        self.known = signed
        return newer


def _require_pinned(bundled: PinSet, host: str) -> None:
    policy = bundled.policy_for(host)
    if policy is None:
        raise ConfigError(
            f"the pin set has no policy for {host}, where its updates come from",
            key="url",
            fix=f"certpin add {host}",
        )
    if policy.mode != "enforce":
        raise ConfigError(
            f"the policy of {host}, where the updates come from, only reports",
            key="url",
            fix='set mode = "enforce" for it',
        )
