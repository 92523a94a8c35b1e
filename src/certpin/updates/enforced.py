"""What is in force: the app's context, and those of the channel that updates come through.

The channel is pinned as the app's other connections are. It accepts what the bundled set accepts,
or what the set in force accepts: a published set that is wrong about this server, or forgot it,
must not be the last that anybody gets. For the same reason its pins do not end here on their date,
whatever the pin file says of that date: they are compared for ever, and never left out either.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from certpin.errors import ConfigError
from certpin.tls import PinnedSSLContext
from certpin.updates.states import StateInputs
from certpin.updates.trust import require_following

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from certpin.pins import PinSet
    from certpin.updates.trust import SignedSet


class Enforced:
    """The set in force, and ``known``: the newest that was signed, in force or not."""

    def __init__(
        self, pins: PinSet | PinnedSSLContext, host: str, clock: Callable[[], datetime], root: int
    ) -> None:
        self.context = (
            pins if isinstance(pins, PinnedSSLContext) else PinnedSSLContext(pins, clock=clock)
        )
        self.known: SignedSet | None = None
        self._coming: SignedSet | None = None  # the known set, or the one that is about to be
        self._host = host
        self._clock = clock
        self._bundled = self.context.pins
        self._bundled_root = root  # the version of the bundled root
        own = _required(self._bundled, host)
        self._by_bundled = PinnedSSLContext(own, clock=clock)
        self._by_newest = PinnedSSLContext(own, clock=clock)
        self._forked = False
        self._forgotten = False  # True if the newest set has no pins for the host

    @property
    def inputs(self) -> StateInputs:
        """The data that determine the state."""
        known, pins = (
            self.known,
            self.context.pins,
        )  # in this order, because another thread may swap
        for each in (known, self._coming):
            if each is not None and each.pins.version == pins.version:
                return StateInputs(pins, each.verified.until, each.superseded)
        return StateInputs(pins)

    @property
    def channel(self) -> tuple[PinnedSSLContext, ...]:
        """The contexts for the update server, in the order in which they are tried."""
        if self._forked:
            self._renew()
        return (self._by_bundled,) if self._forgotten else (self._by_newest, self._by_bundled)

    def wake_in_child(self) -> None:
        """Replace the contexts after a fork: a thread of the parent may have been changing them."""
        self._forked = True

    def _renew(self) -> None:
        self._forked = False
        self._by_bundled = PinnedSSLContext(self._by_bundled.pins, clock=self._clock)
        self._by_newest = PinnedSSLContext(self._by_newest.pins, clock=self._clock)

    def adopt(self, signed: SignedSet) -> bool:
        """Put a signed set in force unless it already is. Return True if the set has changed.

        Raises:
            UpdateError: the set can't follow the one in force, which then stays in force.
        """
        current = self.context.pins
        if signed.recovers:
            require_following(signed.pins, self._bundled)
        else:
            root = self.known.verified.root if self.known else self._bundled_root
            require_following(signed.pins, current, same_root=root == signed.verified.root)
        other = signed.pins.version != current.version or (
            signed.recovers and signed.pins.policies != current.policies
        )
        if other:
            self._coming = signed
            self.context.swap(signed.pins, recover=signed.recovers)  # fails if it can't be enforced
            self._follow(signed.pins, recover=signed.recovers)
        self.known = signed
        return other

    def _follow(self, pins: PinSet, *, recover: bool) -> None:
        own = _own(pins, self._host)
        self._forgotten = own is None
        if own is not None:
            self._by_newest.swap(own, recover=recover)


def _own(pins: PinSet, host: str) -> PinSet | None:
    """Return the pins that a set enforces for the update server, without an expiry date."""
    policy = pins.policy_for(host)
    if policy is None or policy.mode != "enforce":
        return None
    return replace(pins, policies=(replace(policy, expires=None),))


def _required(bundled: PinSet, host: str) -> PinSet:
    own = _own(bundled, host)
    if own is not None:
        return own
    if bundled.policy_for(host) is None:
        raise ConfigError(
            f"the pin set has no policy for {host}, where its updates come from",
            key="url",
            fix=f"certpin add {host}",
        )
    raise ConfigError(
        f"the policy of {host}, where the updates come from, only reports",
        key="url",
        fix='set mode = "enforce" for it',
    )
