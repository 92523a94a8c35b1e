"""The states COMPROMISED and LOST that a pin file has to have, because the journal records them.

The journal comes first (``certpin rotate emergency``), and the pin file follows. A pin file with
the minimum of two pins can't refuse a stolen key until it has another backup: then its state
follows with the step that adds one. The state of a stolen root can have to wait until clients trust
another root (``certpin.rotation.new_root``).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from certpin.pins import HostPin
from certpin.rotation.history import published_pins
from certpin.rotation.situation import with_same_keys
from certpin.rotation.trust import anchor_pins, known_anchor_pins

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet

    from certpin.pins import HostPolicy, Pin, PinSet, Role
    from certpin.rotation.history import History
    from certpin.rotation.situation import PinHistory

_MIN_PINS = {"enforce": 2, "report": 1}  # that clients accept, as the pin file requires


def missing_marks(pins: PinSet, history: History) -> list[tuple[HostPolicy, HostPin]]:
    """Return the keys that the journal records as stolen or lost, and a pin set does not.

    Return nothing if the journal records no version, because clients may hold the pin set as it is.
    If it were changed now, and the user then recorded it as the version of these clients, the
    journal would wrongly state that they refuse the key.

    Args:
        pins: the content of the pin file.
        history: the journal.

    Returns:
        The policy and the entry of each such key, with the state and the role that it gets. A
        stolen key can have an entry here although the policy has none, because it was deleted.
    """
    if history.deployed.latest is None:
        return []
    # The record of a server's key has a note. Clients refuse no certificate above such a key.
    stolen = (each for each in history.events if each.step == "compromise")
    noted = {each.pin for each in stolen if each.pin and each.note}
    roots = known_anchor_pins([pins, *(each.pins for each in history.deployed.versions)])
    # An older journal can have a note about a root.
    of_servers = with_same_keys(noted, history.same_keys) - roots
    found: list[tuple[HostPolicy, HostPin]] = []
    for policy in pins.policies:
        past = history.past(policy.pattern)
        for entry in (*_marks(policy, past), *_deleted(policy, history, past, roots)):
            is_leaf = entry.state == "compromised" and entry.pin in of_servers
            if is_leaf and entry.role == "backup" and policy.match != "ca":
                found.append((policy, replace(entry, role="leaf")))
            else:
                found.append((policy, entry))
    return found


def _marks(policy: HostPolicy, past: PinHistory) -> Iterator[HostPin]:
    """Yield the entry of each pin to mark in a policy as stolen or lost, with its new state.

    These are the pins that the journal records as stolen or lost, and the policy doesn't. But a
    stolen key is left out if the policy would have too few pins without it: fewer than two, or none
    if it only reports. No command reads such a pin file.

    Args:
        policy: the policy in the pin file.
        past: the states of the host's pins in the journal.
    """
    live = set(policy.live_pins)
    for entry in policy.pins:
        if entry.pin in past.all_compromised:
            is_last = entry.live and len(live) <= _MIN_PINS[policy.mode]
            if entry.state != "compromised" and not is_last:
                live.discard(entry.pin)
                yield replace(entry, state="compromised")
        elif entry.pin in past.all_lost and entry.usable:
            yield replace(entry, state="lost")


def _deleted(
    policy: HostPolicy, history: History, past: PinHistory, roots: AbstractSet[Pin]
) -> tuple[HostPin, ...]:
    """Return the entries of stolen keys that a policy lacks, each marked as COMPROMISED.

    Without the entry, clients with the next version could accept a path through the stolen key: by
    the pin of an authority in that path, when the pins have expired (``on_expiry``), and when they
    fetch updates, by the pins in their binary. The entry is needed

    - if a published version has the key at the hosts of the policy, in any state;
    - if the theft is recorded for the policy, unless clients compare only leaves (``match =
      "leaf"``) and don't trust the key as a root: then they accept no path through it.

    Args:
        policy: the policy in the pin file.
        history: the journal.
        past: the states of the host's pins in the journal.
        roots: the pins of the trust anchors in the pin file and in all published versions.
    """
    missing = past.all_compromised & past.states.keys()
    missing -= {entry.pin for entry in policy.pins}
    if not missing:
        return ()
    anchors = anchor_pins(policy) if policy.match == "leaf" else missing
    found: dict[Pin, HostPin] = {}
    for event in history.events:
        if event.step == "compromise" and event.host == str(policy.pattern) and event.pin:
            # Without a note, it may be an authority's: clients refuse each chain below it.
            role: Role = "leaf" if event.note and event.pin not in roots else "intermediate"
            if event.pin in anchors:
                found.setdefault(event.pin, HostPin(event.pin, role, note=event.note))
        for entry in published_pins(event.pins, policy.pattern) if event.pins else ():
            found[entry.pin] = entry
    wanted = sorted(missing & found.keys(), key=str)
    return tuple(replace(found[pin], state="compromised") for pin in wanted)
