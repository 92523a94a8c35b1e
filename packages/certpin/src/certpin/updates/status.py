"""The state, the status and the events of an updater, as data.

The state is computed from the pin set in force (which the app's SSL context enforces), its metadata
and the time:

EMBEDDED       the pin set bundled with the app is in force, and no fetched one
FRESH          the pin set in force is the newest known one, and all of its metadata is valid
SOFT-STALE     metadata of the pin set in force has expired, or was signed by keys that a newer root
               replaced: the server, or an attacker on the network, has sent nothing newer. The last
               known good pin set stays in force
HARD-EXPIRED   a policy that fails closed has expired, and the SSL context refuses its host

If several apply, the last one counts. The status adds the versions, times and errors of the checks.
An event is one check, or a problem with the cache, for logs and for the app's hooks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from certpin.errors import UpdateError
    from certpin.pins import PinSet

    UpdateHook = Callable[["UpdateEvent"], object]


# updated: another set is in force. checked: there is nothing new. failed: a check failed, or the
# fetched set was refused. cache: the cached set was refused, or the cache can't be written.
What = Literal["updated", "checked", "failed", "cache"]
UpdateState = Literal["embedded", "fresh", "soft-stale", "hard-expired"]


@dataclass(frozen=True)
class UpdateStatus:
    """The status of an updater at one time.

    "In force" is the pin set that the app's SSL context enforces.

    Attributes:
        state: ``embedded`` (the pin set bundled with the app is in force), ``fresh`` (a fetched pin
            set is in force, and is known to be the newest), ``soft-stale`` (a fetched pin set is in
            force, but may not be the newest) or ``hard-expired`` (a policy that fails closed has
            expired, so its host is refused).
        name: the name of the pin set.
        version: the version of the pin set in force.
        checked: when the last check of this process succeeded; ``None`` if none has.
        until: when the first metadata file of the pin set in force expires; ``None`` if the pin set
            bundled with the app is in force.
        failures: the number of failed checks since the last success.
        error: why the last check failed; ``None`` if it succeeded.
        cache_error: why the cache can't be read or written; ``None`` if it can.
        pins: the pin set in force. Not compared (``==``).
        recovered: True if the pin set in force may have a lower version than the previous one,
            because newer root metadata has replaced the keys that signed that one.
    """

    state: UpdateState
    name: str
    version: int
    checked: datetime | None
    until: datetime | None
    failures: int
    error: UpdateError | None
    cache_error: UpdateError | None
    pins: PinSet | None = field(default=None, compare=False, repr=False)
    recovered: bool = False


@dataclass(frozen=True)
class UpdateEvent:
    """An event of an updater, for logs and the app's hooks.

    Attributes:
        what: "updated": a new pin set is in force. "checked": there is nothing new. "failed": a
            check failed. "cache": the cache can't be read or written.
        at: when it happened.
        status: the updater's status after the event.
        error: the reason of "failed" and "cache".
    """

    what: What
    at: datetime
    status: UpdateStatus
    error: UpdateError | None = None

    def fields(self) -> dict[str, Any]:
        """Return the event as strings and numbers for a structured log. They contain no secrets."""
        until = self.status.until
        return {
            "what": self.what,
            "at": self.at.isoformat(),
            "state": self.status.state,
            "pin_set": self.status.name,
            "pin_set_version": self.status.version,
            "until": None if until is None else until.isoformat(),
            "reason": None if self.error is None else self.error.reason,
            "failures": self.status.failures,
        }


@dataclass(frozen=True)
class StateInputs:
    """The data from which the updater's state, such as ``fresh``, is computed.

    Attributes:
        pins: the pin set in force, which the app's SSL context enforces.
        until: when the first metadata file of that pin set expires. ``None`` if the pin set bundled
            with the app is in force.
        superseded: True if newer root metadata is known, and its keys have not signed this pin set.
        recovers: True if this pin set may have a lower version than the previous one.
    """

    pins: PinSet
    until: datetime | None = None
    superseded: bool = False
    recovers: bool = False


def state_of(inputs: StateInputs, now: datetime) -> UpdateState:
    """Return the updater's state: ``embedded``, ``fresh``, ``soft-stale`` or ``hard-expired``.

    ``inputs`` are the data that the state depends on. ``embedded``: the pin set bundled with the
    app is enforced. ``fresh``: a fetched pin set is enforced, and is known to be the newest.
    ``soft-stale``: a fetched pin set is enforced, but may not be the newest. ``hard-expired``: a
    policy that fails closed has expired, so its host is refused.
    """
    end = pins_end(inputs.pins)
    if end is not None and now >= end:
        return "hard-expired"
    if inputs.until is None:
        return "embedded"
    return "soft-stale" if inputs.superseded or now >= inputs.until else "fresh"


def pins_end(pins: PinSet) -> datetime | None:
    """Return the first time at which an expired policy makes a client refuse its host.

    Return None if there is no such time: no policy of the pin set has an expiry date and fails
    closed.
    """
    return min(filter(None, (policy.refuses_from for policy in pins.policies)), default=None)


def next_end(inputs: StateInputs) -> datetime | None:
    """Return the time by which the updater needs a newer pin set; None if there is no such time.

    ``inputs`` are the data about the enforced pin set. The time is the first expiry of metadata, or
    of a policy that then refuses its host.
    """
    ends = [end for end in (inputs.until, pins_end(inputs.pins)) if end is not None]
    return min(ends, default=None)
