"""The states of a pin: the legal transitions, and the current state.

    GENERATED → STAGED → PUBLISHED → ADOPTED → ACTIVE ⇄ RETIRING → REMOVED
                                                      any state → COMPROMISED

A STAGED pin may be taken out of the draft again. A backup that was never needed becomes REMOVED
without having been ACTIVE. ACTIVE and RETIRING go both ways: while clients accept the old key, a
server may return to it. REMOVED and COMPROMISED are final, except that a REMOVED key may be found
to be COMPROMISED.

ADOPTED is never written to a file: it follows from the deployed versions and the clock
(``pin_state``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.errors import ConfigError
from certpin.rotation.adoption import adoption

if TYPE_CHECKING:
    from certpin.pins import Pin, State
    from certpin.rotation.adoption import Situation

# In the order of a rotation, for drawings.
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

# The fix for an illegal transition, by the state that the user asked for.
_FIXES: dict[State, str] = {
    "generated": "it is in the draft, or published, already",
    "staged": "make a new key: a pin that was published can't return to the draft",
    "published": "put it into the draft first: certpin rotate stage",
    "adopted": "publish it first: certpin rotate publish",
    "active": "wait until it is ADOPTED: certpin rotate status prints the date",
    "retiring": "activate it first: only a key that is ACTIVE can retire",
    "removed": "retire it first: certpin rotate retire",
    "compromised": "it is compromised already",
}


def may_follow(state: State, following: State) -> bool:
    """Return True if a pin may go from one state to the other."""
    return following in TRANSITIONS[state]


def require_transition(pin: Pin, state: State, following: State) -> None:
    """Check that a pin may go from one state to the other.

    Raises:
        ConfigError: the transition is illegal.
    """
    if not may_follow(state, following):
        raise ConfigError(
            f"{pin} is {state.upper()}, and cannot become {following.upper()}",
            key="state",
            fix=_FIXES[following],
        )


def pin_state(situation: Situation, pin: Pin) -> State:
    """Return the current state of a pin, from the draft or else from the journal.

    The early states follow from the deployed versions, whatever the pin file declares: STAGED
    until the latest version accepts the pin, PUBLISHED until every client does, then ADOPTED. An
    unknown pin is GENERATED: its key exists.
    """
    entry = situation.entry(pin)
    declared = entry.state if entry else situation.past.states.get(pin, "generated")
    if entry is None or declared not in {"generated", "staged", "published", "adopted"}:
        return declared
    latest = situation.deployed.latest
    if latest is None or not latest.accepts(situation.pattern, pin):
        return "staged"
    return "adopted" if adoption(situation, pin).adopted else "published"
