"""The states of a pin, and which may follow which.

    GENERATED → STAGED → PUBLISHED → ADOPTED → ACTIVE ⇄ RETIRING → REMOVED
                                                        anything → COMPROMISED

A STAGED pin may be taken out of the draft again, and a backup that was never needed is REMOVED
without having been ACTIVE. ACTIVE and RETIRING go both ways: a server that goes back to its old key
locks nobody out while that pin is still accepted. Nothing comes back from REMOVED or COMPROMISED.

ADOPTED is never written down: it follows from the versions in the field and the clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.errors import ConfigError

if TYPE_CHECKING:
    from certpin.pins import Pin, State

# In the order of a rotation, for whoever draws it.
LINE: tuple[State, ...] = (
    "generated",
    "staged",
    "published",
    "adopted",
    "active",
    "retiring",
    "removed",
)

TRANSITIONS: dict[State, frozenset[State]] = {
    "generated": frozenset({"staged", "compromised"}),
    "staged": frozenset({"generated", "published", "compromised"}),
    "published": frozenset({"adopted", "removed", "compromised"}),
    "adopted": frozenset({"active", "removed", "compromised"}),
    "active": frozenset({"retiring", "compromised"}),
    "retiring": frozenset({"active", "removed", "compromised"}),
    "removed": frozenset({"compromised"}),
    "compromised": frozenset(),
}

# What has to happen first, for each state that somebody wants.
_FIRST: dict[State, str] = {
    "generated": "it is in the draft, or out, already",
    "staged": "a pin that has been out does not go back into a draft: make a new key",
    "published": "put it into the draft first: certpin rotate stage",
    "adopted": "publish it first: certpin rotate publish",
    "active": "it has to be ADOPTED first; certpin rotate status says from when on it is",
    "retiring": "only a key that is ACTIVE retires",
    "removed": "let it retire first: certpin rotate retire",
    "compromised": "it is compromised already",
}


def may_follow(state: State, following: State) -> bool:
    """Whether a pin may go from one state to the other."""
    return following in TRANSITIONS[state]


def require(pin: Pin, state: State, following: State) -> None:
    """Raise ``ConfigError`` unless a pin may go from one state to the other."""
    if not may_follow(state, following):
        raise ConfigError(
            f"{pin} is {state.upper()}, and cannot become {following.upper()}",
            key="state",
            fix=_FIRST[following],
        )
