"""Where an updater stands: a pure function of what it knows, and the moment.

EMBEDDED       nothing that was fetched is in force: the bundled set is
FRESH          what is in force is the newest, as far as can be known: all that vouches for it
               is in date
SOFT-STALE     something that vouches for it is past its date, or signed by keys that were
               replaced: the server, or whoever stands before it, has shown nothing newer. The
               last known good set stays in force
HARD-EXPIRED   a policy that fails closed is past its own date, and the context refuses its host
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from datetime import datetime

    from certpin.pins import PinSet

UpdateState = Literal["embedded", "fresh", "soft-stale", "hard-expired"]


@dataclass(frozen=True)
class StateInputs:
    """The data that determine the state.

    Attributes:
        pins: the set in force.
        until: when the first metadata file of that set expires. ``None`` if the bundled set is in
            force.
        superseded: a newer root is known, but no set that its keys signed.
    """

    pins: PinSet
    until: datetime | None = None
    superseded: bool = False


def state_of(inputs: StateInputs, now: datetime) -> UpdateState:
    """Return the state at the time ``now``."""
    end = pins_end(inputs.pins)
    if end is not None and now >= end:
        return "hard-expired"
    if inputs.until is None:
        return "embedded"
    return "soft-stale" if inputs.superseded or now >= inputs.until else "fresh"


def pins_end(pins: PinSet) -> datetime | None:
    """Return the first expiry of the policies that refuse their host once they have expired."""
    ends = [
        policy.expires
        for policy in pins.policies
        if policy.expires is not None
        and policy.mode == "enforce"
        and policy.on_expiry == "fail-closed"
    ]
    return min(ends, default=None)


def next_end(inputs: StateInputs) -> datetime | None:
    """Return the time before which a newer set is needed: the first of both expiries."""
    ends = [end for end in (inputs.until, pins_end(inputs.pins)) if end is not None]
    return min(ends, default=None)
