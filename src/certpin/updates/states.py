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
    """What the state follows from.

    ``until`` is when the first of the files that vouch for the set in force is past its date;
    ``None`` where none does, and the bundled set is in force. ``superseded``: a newer root is
    known, and no set that its keys signed.
    """

    pins: PinSet
    until: datetime | None = None
    superseded: bool = False


def state_of(inputs: StateInputs, now: datetime) -> UpdateState:
    """The state at a moment."""
    end = pins_end(inputs.pins)
    if end is not None and now >= end:
        return "hard-expired"
    if inputs.until is None:
        return "embedded"
    return "soft-stale" if inputs.superseded or now >= inputs.until else "fresh"


def pins_end(pins: PinSet) -> datetime | None:
    """When the first policy that then refuses its host is past its date."""
    ends = [
        policy.expires
        for policy in pins.policies
        if policy.expires is not None
        and policy.mode == "enforce"
        and policy.on_expiry == "fail-closed"
    ]
    return min(ends, default=None)


def next_end(inputs: StateInputs) -> datetime | None:
    """The moment before which a newer set is wanted: the earlier of both ends."""
    ends = [end for end in (inputs.until, pins_end(inputs.pins)) if end is not None]
    return min(ends, default=None)
