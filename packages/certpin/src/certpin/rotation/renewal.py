"""When servers may switch to a new key, and which keys a rotation has replaced.

The commands ``certpin rotate start``, ``switch`` and ``finish`` print these dates. Whether a step
is safe is decided by the safety rules in ``certpin.rotation.gate``. The draft is the pin file that
would be published next.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from certpin.pins import pins_of
from certpin.rotation.fleet import client_count
from certpin.rotation.gate import check_step
from certpin.rotation.plan import replaced_pins, with_published, with_pushed, with_state
from certpin.rotation.remedies import backup_fix
from certpin.rotation.rules import has_backup_without
from certpin.rotation.situation import adoption
from certpin.rotation.violation import Violation

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from certpin.pins import Pin
    from certpin.rotation.situation import Situation, Version

# A backup's entry may have any state, but no server was recorded to use it.
_SERVER_ROLES = {"leaf", "intermediate", "root"}
_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class SwitchDate:
    """The time from which servers may use a key, if no other version is published before.

    Attributes:
        now: True if every client accepts the key already.
        moment: the first safe time. ``None`` if ``now`` is True, or if the time is unknown, because
            it isn't known when clients will have left an app's binary without the key.
        counts_from_now: True if a version has to be published or pushed (uploaded) first, and
            ``moment`` assumes that this is done now.
        refusing: the versions that some client may hold and that do not accept the key.
    """

    now: bool
    moment: datetime | None = None
    counts_from_now: bool = False
    refusing: tuple[Version, ...] = ()


def switch_date(situation: Situation, pin: Pin) -> SwitchDate:
    """Return the time from which servers may use a key that has a pin in the draft (the pin file).

    Not checked: the chain of the certificate, which the safety rules verify when the certificate
    exists.
    """
    found = adoption(situation, pin)
    if found.adopted:
        return SwitchDate(now=True)
    latest = situation.deployed.latest
    is_out = latest is not None and situation.is_accepted_by(latest, pin)
    if latest is not None and is_out and not latest.pending:
        return SwitchDate(now=False, moment=found.moment, refusing=found.refusing)
    after = with_pushed(situation) if is_out else with_published(situation)
    return SwitchDate(
        now=False,
        moment=adoption(after, pin).moment,
        counts_from_now=True,
        refusing=found.refusing,
    )


def latest_of(dates: Iterable[SwitchDate]) -> SwitchDate:
    """Return the date from which servers may use a key at all hosts: the latest of ``dates``.

    ``dates`` has the date for each host. If one of them is unknown, the result is unknown, too.
    """
    found = list(dates)
    late = [date for date in found if not date.now]
    if not late:
        return SwitchDate(now=True)
    moments = [date.moment for date in late]
    known = [moment for moment in moments if moment is not None]
    return SwitchDate(
        now=False,
        moment=max(known) if len(known) == len(moments) else None,
        counts_from_now=any(date.counts_from_now for date in late),
        refusing=tuple(dict.fromkeys(each for date in late for each in date.refusing)),
    )


def old_pins(situation: Situation, activated: Mapping[Pin, datetime]) -> tuple[Pin, ...]:
    """Return the pins in the draft of keys that a later key has replaced.

    A key is replaced if servers may use it, and another key in the same role was activated later.
    Activated means that the safety rules allowed servers to use the key. If no key of a role was
    activated, none of them is replaced: two keys in the first pin file may be those of two servers.
    The pins of lost keys are always returned, and those that ``finish`` has retired: the latter can
    be of a key that no server has used.

    If the user named only the pin of an authority, its entry has the role of a server's key. It
    replaces no such key when servers present it as an authority.

    Args:
        situation: the facts about the host, with the draft.
        activated: for each pin, the last time at which it was activated according to the journal.
    """
    found: list[Pin] = []
    authorities = served_authorities(situation)
    for role in dict.fromkeys(entry.role for entry in situation.policy.pins):
        used = [
            entry
            for entry in situation.policy.pins
            if entry.role == role and role in _SERVER_ROLES and entry.in_service
            if role != "leaf" or entry.pin not in authorities
        ]
        times = {
            entry.pin: activated.get(entry.pin, _NEVER) for entry in used if entry.state == "active"
        }
        newest = max(times.values(), default=_NEVER)
        found += [
            entry.pin for entry in used if entry.pin not in times or times[entry.pin] < newest
        ]
    found += [entry.pin for entry in situation.policy.pins if entry.state == "lost"]
    return tuple(found)


def served_authorities(situation: Situation) -> frozenset[Pin]:
    """Return the pins of the keys that servers present as those of authorities only."""
    chains = [seen.chain for seen in situation.sightings if seen.chain]
    above = {pin for chain in chains for each in chain.authorities for pin in pins_of(each)}
    return frozenset(above).difference(*(pins_of(chain.leaf) for chain in chains))


def removal_violations(situation: Situation, pin: Pin) -> tuple[Violation, ...]:
    """Return the safety rules that ``rotate finish`` would break for a pin; empty if none.

    The command retires an ACTIVE pin, and then removes it. If the pin can't be retired, the rules
    of that step are returned.
    """
    entry = situation.entry(pin)
    if entry is not None and entry.state == "active":
        if violations := check_step(situation, "retire", pin):
            return violations
        situation = with_state(situation, pin, "retiring")
    return check_step(situation, "remove", pin) or leaves_one_pin(situation, pin)


def leaves_one_pin(situation: Situation, pin: Pin) -> tuple[Violation, ...]:
    """Return a violation if the removal of ``pin`` would leave fewer than two pins in the policy.

    The result is empty if two pins are left, or if the policy doesn't enforce pins. Only pins that
    clients accept count.
    """
    policy = situation.policy
    if policy.mode != "enforce" or len({*policy.live_pins} - {pin}) >= 2:
        return ()
    return (
        Violation(
            "last-backup",
            f"without {pin}, {policy.pattern} has only one pin",
            client_count(situation),
            fix=f"make another backup first: {backup_fix(situation)}",
        ),
    )


def in_flight(situation: Situation) -> tuple[Pin, ...]:
    """Return the STAGED or PUBLISHED pins of the pin file that some client does not accept yet."""
    return tuple(
        entry.pin
        for entry in situation.policy.pins
        if entry.live
        and entry.state in {"staged", "published"}
        and not adoption(situation, entry.pin).adopted
    )


def served_backups(situation: Situation) -> tuple[Pin, ...]:
    """Return the backups of the pin file with keys that servers present as leaf keys already.

    No ``rotate switch`` was recorded for them: it gives a backup another role. Only probed servers
    with a verified chain count, and pins of lost or stolen keys are left out. The result is empty
    if clients compare only authorities: then ``switch`` records no key of a server.
    """
    if situation.policy.match == "ca":
        return ()
    leaves = {seen.leaf for seen in situation.sightings if seen.chain}
    return tuple(
        entry.pin
        for entry in situation.policy.pins
        if entry.role == "backup" and entry.pin in leaves and entry.pin in situation.usable
    )


def is_last_spare(situation: Situation, pin: Pin) -> bool:
    """Return True if the pin file has no backup any more when servers use the key of ``pin``.

    The pins that ``pin`` replaces don't count as backups, because they will be removed. The pins of
    the chains that servers present now don't count either.
    """
    gone = {pin, *replaced_pins(situation, pin)} | situation.served
    return not has_backup_without(situation, gone)
