"""The next safe action of a rotation at one host, which ``certpin rotate status`` prints.

The action is derived from the facts about the host, with the same safety rules as each step. It is
the action (on the right) of the first condition that is true:

    a stolen or lost key is not dealt with      emergency
    the journal seems to be missing             journal: get it back
    the journal's newest entry is in the        clock: set it, or record that the clock of
      future                                      that entry was ahead
    clients refuse the chain of a server, and   repair: let it present that key
      all clients accept another pinned key
    a signed version is not uploaded yet        push
    the pins of the last version expire early   extend: publish a later `expires`
    the pin file differs from the last version  publish
    servers may use a new key                   install its certificate on every server
    clients refuse the chain of a server, and   repair: let it present another chain
      no pinned key is accepted by all clients
    servers present a key without a `switch`    switch
    no backup is left without the old key       start
    no server uses the old key any more         finish
    a new key was started beside the backup     wait until it is adopted, then switch

The command ``certpin rotate status`` adds ``journal``, because it reads the signed files.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from certpin.rotation.gate import check_step, clock_violations, follows_journal
from certpin.rotation.journal import pin_state
from certpin.rotation.plan import at_time, is_push_pending
from certpin.rotation.prospect import assumed_prospects
from certpin.rotation.renewal import (
    in_flight,
    is_last_spare,
    old_pins,
    removal_violations,
    served_authorities,
    served_backups,
    switch_date,
)
from certpin.rotation.rules import expiry, has_backup_without
from certpin.rotation.situation import Version, adoption
from certpin.rotation.trust import is_refused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from certpin.pins import Pin
    from certpin.rotation.situation import Situation
    from certpin.rotation.violation import Violation

NextAct = Literal[
    "emergency",
    "journal",
    "clock",
    "push",
    "publish",
    "install",
    "repair",
    "extend",
    "finish",
    "start",
    "switch",
    "none",
]


# The actions with a command that the gate refuses if the clock of this machine is wrong.
_REFUSED_BY_CLOCK = {"publish", "install", "extend", "finish", "start", "switch"}


@dataclass(frozen=True)
class NextStep:
    """The next safe action of a rotation at a host.

    Attributes:
        act: the action, such as ``publish`` or ``switch``; ``none`` if there is nothing to do.
        pin: the pin of the key that the action is about; ``None`` if it is about no single key. For
            ``repair``, a key that every client accepts, if there is one.
        not_before: the first time at which the action locks no client out; ``None`` if the action
            is safe now, or if no such time is known.
        servers: for ``install``, the servers that do not present the key yet; for ``repair``, the
            servers with a chain that clients refuse.
        violations: the safety rules that the action would break now; empty if it is safe now. If
            the action only has to wait until ``not_before``, no rules but those about a wrong clock
            are listed.
        needs_chain: for ``switch``, True if the user has to name the file of the new chain. Every
            client accepts the pin (now, or at ``not_before``), but the pin doesn't show if clients
            will accept the chain (the rule ``open-chain``).
    """

    act: NextAct
    pin: Pin | None = None
    not_before: datetime | None = None
    servers: tuple[str, ...] = ()
    violations: tuple[Violation, ...] = ()
    needs_chain: bool = False


def next_step(
    situation: Situation, activated: Mapping[Pin, datetime], *, differs: bool
) -> NextStep:
    """Return the next safe action of a rotation at one host.

    Args:
        situation: the facts about the host.
        activated: for each pin, the time of the latest event in the journal that allowed servers to
            use its key (``History.activated``).
        differs: True if the pin file differs from the latest version in a way that clients would
            notice.
    """
    repair = _repair(situation, activated)
    found = (
        _emergency(situation)
        or _clock(situation)
        or (repair if repair and repair.pin else None)
        or _push(situation)
        or _extension(situation)
        or _publication(situation, differs=differs)
        or _installation(situation, activated)
        or repair
        or _unrecorded(situation)
        or _backup(situation, activated)
        or _clearing(situation, activated)
        or _adoption(situation)
        or NextStep("none")
    )
    if found.act in _REFUSED_BY_CLOCK and not found.violations:
        return replace(found, violations=clock_violations(situation))
    return found


def _emergency(situation: Situation) -> NextStep | None:
    """Return the action ``emergency`` if a stolen or lost key has to be replaced; else ``None``.

    The key is a stolen one that is pinned or that servers present, or a lost one that servers
    present.
    """
    live = situation.policy.live_pins
    for pin in sorted(situation.compromised, key=_keys_first):
        if pin in live or pin in situation.served:
            return NextStep("emergency", pin)
    for pin in sorted(situation.lost, key=_keys_first):
        if pin in situation.served:
            return NextStep("emergency", pin)
    return None


def _keys_first(pin: Pin) -> tuple[bool, str]:
    """Return a sort key for ``pin``: pins of keys come before those of whole certificates."""
    return pin.kind != "sha256", str(pin)


def _clock(situation: Situation) -> NextStep | None:
    """Return the action ``clock`` if the newest journal entry is later than this machine's clock.

    Its versions don't count as published yet, so no other step could be derived. Otherwise return
    ``None``.
    """
    return None if follows_journal(situation) is None else NextStep("clock")


def _push(situation: Situation) -> NextStep | None:
    return NextStep("push") if is_push_pending(situation) else None


def _extension(situation: Situation) -> NextStep | None:
    """Return the action ``extend`` if pins in the latest version and the pin file expire too early.

    Too early means before all clients can have the next version. Otherwise return ``None``.
    """
    latest = situation.deployed.latest
    if latest is None or expiry(situation, [latest]) is None:
        return None
    draft = Version(situation.pins, fetched=situation.now)
    if expiry(situation, [draft]) is None:
        return None
    # The draft goes out with a later date.
    broken = [each for each in _publish_violations(situation) if each.invariant != "expiry"]
    return NextStep("extend", violations=tuple(broken))


def _publication(situation: Situation, *, differs: bool) -> NextStep | None:
    latest = situation.deployed.latest
    if latest is not None and not differs:
        return None
    return NextStep("publish", violations=_publish_violations(situation))


def _publish_violations(situation: Situation) -> tuple[Violation, ...]:
    """Return the rules that publishing the pin file under the next number would violate."""
    number = situation.deployed.next_number(situation.pins)
    if number != situation.pins.version:  # a copy has the policies of all hosts
        situation = replace(situation, pins=replace(situation.pins, version=number))
    return check_step(situation, "publish")


def _installation(situation: Situation, activated: Mapping[Pin, datetime]) -> NextStep | None:
    """Return the action ``install`` for the key that servers were most recently allowed to use.

    Keys that are not ACTIVE in the pin file any more don't count. Return ``None`` if every probed
    server presents the key already, if no server was probed, or if there is no such key.
    ``activated`` has, for each pin, the time at which
    servers were last allowed to use its key.
    """
    active = {entry.pin for entry in situation.policy.pins if entry.state == "active"}
    allowed = active & activated.keys()
    if not allowed or not situation.sightings:
        return None
    newest = max(allowed, key=lambda pin: (activated[pin], str(pin)))
    missing = [each.vantage for each in situation.sightings if newest not in each.pins]
    return _install(situation, newest, missing) if missing else None


def _install(situation: Situation, pin: Pin, servers: Sequence[str]) -> NextStep:
    """Return the action ``install`` for a key at some servers, with the rules that it breaks."""
    prospects = assumed_prospects(situation, pin)
    violations = check_step(situation, "serve", pin, prospects)
    return NextStep("install", pin, None, tuple(servers), violations)


def _repair(situation: Situation, activated: Mapping[Pin, datetime]) -> NextStep | None:
    """Return the action ``repair`` if clients refuse the chain of a server; else ``None``.

    The action's ``pin`` is that of a key in the pin file that every client accepts. If there are
    several, it is the one that servers were most recently allowed to use. ``None`` if there is no
    such key: servers then have to present another chain, or a new version has to be published.
    ``activated`` has, for each pin, the time at which servers were last allowed to use its key.
    """
    policies = situation.held_policies
    refused = tuple(
        seen.vantage
        for seen in situation.sightings
        if any(is_refused(situation, seen, policy) for policy in policies)
    )
    if not refused:
        return None
    newest_first = sorted(
        situation.policy.live_pins,
        key=lambda pin: activated[pin].timestamp() if pin in activated else 0,
        reverse=True,
    )
    # Two rules are no reason against a way back: that a server confirms the time, because none does
    # while no chain verifies, and that no server is forgotten, because its key stays accepted.
    unconfirmed = replace(situation, evidence=None)
    accepted = (
        pin
        for pin in newest_first
        if all(
            each.invariant == "unlisted"
            for each in check_step(unconfirmed, "serve", pin, assumed_prospects(unconfirmed, pin))
        )
    )
    return NextStep("repair", next(accepted, None), servers=refused)


def _clearing(situation: Situation, activated: Mapping[Pin, datetime]) -> NextStep | None:
    """Return the action ``finish`` for the first key that a later key has replaced.

    Return ``None`` if there is no such key. The action has a date if the key only has to stay until
    every client accepts a backup. It has violations if the key can't be removed for other reasons.
    If a server still uses it, the action is ``install`` for the key that has replaced it: servers
    present the key that they were most recently allowed to use, but that can be of another role.
    ``activated`` has, for each pin, the time at which servers were last allowed to use its key.
    """
    pin = next(iter(old_pins(situation, activated)), None)
    if pin is None:
        return None
    violations = removal_violations(situation, pin)
    if any(each.invariant == "still-served" for each in violations):
        later = _replacement(situation, pin, activated)
        if later is not None:
            return _install(situation, later, situation.serving(pin))
    if [each.invariant for each in violations] == ["last-backup"] and violations[0].safe_from:
        return NextStep("finish", pin, violations[0].safe_from)
    return NextStep("finish", pin, violations=violations)


def _replacement(situation: Situation, old: Pin, activated: Mapping[Pin, datetime]) -> Pin | None:
    """Return the pin of the key that replaces an old one in its role; ``None`` without such a key.

    It is the last key of the role that servers were allowed to use (``activated``), unless a server
    presents it beside the old one.
    """
    role = situation.role_of(old)
    pins = [
        entry.pin
        for entry in situation.policy.pins
        if entry.state == "active" and entry.role == role and entry.pin in activated
    ]
    newest = max(pins, key=lambda pin: (activated[pin], str(pin)), default=None)
    return None if newest == old or newest in situation.served else newest


def _unrecorded(situation: Situation) -> NextStep | None:
    """Return the action ``switch`` for a backup that servers present already; else ``None``.

    The user has to record with ``switch`` that servers use the key.
    """
    pin = next(iter(served_backups(situation)), None)
    if pin is None:
        return None
    return _switch(situation, pin)


def _switch(situation: Situation, pin: Pin, not_before: datetime | None = None) -> NextStep:
    """Return the action ``switch`` for a key.

    Args:
        situation: the facts about the host.
        pin: the pin of the key.
        not_before: the date from which every client accepts the pin; ``None`` for now, or if there
            is no such date.
    """
    then = situation
    if not_before:  # the clock will have to be confirmed then
        then = replace(at_time(situation, not_before), evidence=None)
    found = check_step(then, "activate", pin, assumed_prospects(then, pin))
    is_open = {each.invariant for each in found} == {"open-chain"}
    needs_chain = is_open and adoption(then, pin).adopted
    violations = () if not_before else found
    return NextStep("switch", pin, not_before, violations=violations, needs_chain=needs_chain)


def _backup(situation: Situation, activated: Mapping[Pin, datetime]) -> NextStep | None:
    """Return the action ``start`` if a new backup is needed; otherwise ``None``.

    A new backup is needed if the only usable keys are those that servers use and those that a later
    key has replaced. It comes before the removal of the replaced keys: such a key can't be removed
    while its pin is the only one outside the served chain. ``activated`` has, for each pin, the
    time at which servers were last allowed to use its key.
    """
    used = situation.served or frozenset(
        entry.pin for entry in situation.policy.pins if entry.in_service
    )
    gone = used.union(old_pins(situation, activated))
    return None if has_backup_without(situation, gone) else NextStep("start")


def _adoption(situation: Situation) -> NextStep | None:
    """Return the action ``switch`` to a new key; ``None`` if there is no new key.

    The only backup doesn't count as a new key, nor does an authority that servers present already,
    beside the pinned key of a server. If some client doesn't accept the new key yet, the
    action has the date from which all clients accept it.

    If there are several new keys, the action is for one of them:

    - if some client doesn't accept all of these keys yet: a key with an unknown date, or else the
      key with the latest date;
    - otherwise: the last new key in the pin file.
    """
    used = frozenset() if situation.policy.match == "ca" else served_authorities(situation)
    waiting = [
        pin
        for pin in in_flight(situation)
        if pin_state(situation, pin) == "published"
        and pin not in used
        and not is_last_spare(situation, pin)
    ]
    if not waiting:
        # A server's key is no next key if clients compare only authorities (`served_backups`).
        leaves = {seen.leaf for seen in situation.sightings}
        ready = [
            entry.pin
            for entry in situation.policy.pins
            if entry.role == "backup"
            and entry.pin in situation.past.known - leaves - used
            and pin_state(situation, entry.pin) == "adopted"
            and not is_last_spare(situation, entry.pin)
        ]
        return _switch(situation, ready[-1]) if ready else None
    dates = {pin: switch_date(situation, pin).moment for pin in waiting}
    pin = max(waiting, key=lambda each: (dates[each] is None, dates[each] or situation.now))
    return _switch(situation, pin, dates[pin])
