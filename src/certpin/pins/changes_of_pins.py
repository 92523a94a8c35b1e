"""What a change of the pins of one host means for installed clients.

old clients   have the old set: a server that uses a key which is only in the new one is refused
new clients   have the new set: a server that uses a key which is only in the old one is refused
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.pins.pin import Pin
    from certpin.pins.policy import HostPin, HostPolicy, State

Weight = Literal["safe", "careful", "breaks"]
Told = tuple[Weight, str]

# A server may use the key of such a pin now.
_IN_SERVICE: frozenset[State] = frozenset({"active", "retiring"})
_NOT_YET = "do so only when every client has the new set"


def about_pins(old: HostPolicy, new: HostPolicy) -> Iterator[Told]:
    """What came, what went, and what changed its state. Nothing of pins that are the same."""
    before, after = old.live_pins, new.live_pins
    enforced = "enforce" in {old.mode, new.mode}
    if enforced and not before.keys() & after.keys():
        yield "breaks", "no pin is in both sets: no key satisfies old and new clients"
    for pin, entry in after.items():
        if pin in before:
            yield from _moved(pin, before[pin], entry)
        else:
            yield _came(pin, entry, old)
    dead = {entry.pin: entry for entry in new.pins if not entry.live}
    for pin, entry in before.items():
        if pin not in after:
            yield _went(pin, entry, dead.get(pin), old.mode)
    yield from _compromised(old, new)


def _came(pin: Pin, entry: HostPin, old: HostPolicy) -> Told:
    given_up = next((each for each in old.pins if each.pin == pin), None)
    if given_up is not None:
        weight: Weight = "breaks" if given_up.state == "compromised" else "careful"
        return weight, f"{pin} is accepted again, and was {given_up.state}"
    if entry.state in _IN_SERVICE and old.mode == "enforce":
        text = f"{pin} is new and {entry.state}: old clients refuse a server that uses it"
        return "careful", f"{text}; {_NOT_YET}"
    return "safe", f"{pin} is new ({entry.role}, {entry.state})"


def _went(pin: Pin, entry: HostPin, now: HostPin | None, mode: str) -> Told:
    how = f"is {now.state}" if now else "was removed"
    if mode == "report":
        return "safe", f"{pin} {how}; the host was only reported on"
    if entry.state == "active":
        text = f"{pin} {how} while it was active: new clients refuse a server that still uses it"
        return "breaks", text
    if entry.state == "retiring":
        return "careful", f"{pin} {how}: new clients refuse a server that still uses it"
    return "careful", f"{pin} {how}: it was {entry.state}, and a way back is gone"


def _moved(pin: Pin, before: HostPin, after: HostPin) -> Iterator[Told]:
    if before.state == after.state:
        return
    text = f"{pin} was {before.state} and is {after.state}"
    if after.state == "active" and before.state in {"generated", "staged", "published"}:
        yield "careful", f"{text}: clients whose set is older still refuse it; {_NOT_YET}"
    else:
        yield "safe", text


def _compromised(old: HostPolicy, new: HostPolicy) -> Iterator[Told]:
    """Keys that clients refuse, or no longer refuse, wherever they are on a path."""
    for pin in sorted(new.compromised - old.compromised - old.live_pins.keys(), key=str):
        text = f"{pin} is marked compromised: new clients refuse every path that contains it"
        yield ("careful" if new.mode == "enforce" else "safe"), text
    for pin in sorted(old.compromised - new.compromised - new.live_pins.keys(), key=str):
        text = f"{pin} is no longer marked compromised: a path that contains it is accepted again"
        yield "careful", f"{text} if another pin matches"
