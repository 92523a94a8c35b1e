"""Rules about time: no step relies only on the clock of this machine.

Whether clients may still hold a version follows from dates in the journal and from the time. A
clock that is ahead makes versions look gone, and one that is behind dates new versions too early.
Both would let a step lock clients out. So three rules are part of the gate:

    the time of a step follows the newest entry of the journal
    it agrees with the time that each contacted server reports
    if a version must have ended, a server's time has to confirm that

``CLOCK_TOLERANCE`` is allowed each time. Only a time that came over a connection with a verified
chain counts. A time from another connection may be an attacker's: it is a hint in messages.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from certpin.rotation.adoption import format_duration, in_utc
from certpin.rotation.fleet import client_count
from certpin.rotation.sightings import CLOCK_TOLERANCE, TimeEvidence
from certpin.rotation.violation import Violation
from certpin.support.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from certpin.rotation.adoption import Situation
    from certpin.rotation.journal import Event
    from certpin.rotation.sightings import ServerDate, Sighting

_MINUTE = timedelta(minutes=1)
REPAIR = (
    "set the clock; if it is right, the clock of that entry was ahead: certpin rotate clock "
    "corrects it"
)


def time_evidence(
    newest: Event | None, sightings: Sequence[Sighting] = (), others: Sequence[ServerDate] = ()
) -> TimeEvidence:
    """Return the evidence about the time of a step.

    Args:
        newest: the newest entry of the journal.
        sightings: the servers of the pin file that answered.
        others: the times of other servers, over verified connections.
    """
    proven = [each.date for each in sightings if each.chain and each.date]
    hints = [each.date for each in sightings if not each.chain and each.date]
    entry = f"{newest.step} by {printable(newest.who)}" if newest else ""
    return TimeEvidence(newest.time if newest else None, entry, (*proven, *others), tuple(hints))


def step_time(newest: Event | None, now: datetime) -> datetime:
    """Return the time of a step: that of this machine, but not before the newest journal entry.

    Clocks may differ by ``CLOCK_TOLERANCE``. Without this, a version that was published with a
    clock slightly ahead would not count as alive yet. A larger difference is not hidden.
    """
    is_close = newest is not None and now < newest.time <= now + CLOCK_TOLERANCE
    return newest.time if newest and is_close else now


def clock_violations(situation: Situation) -> tuple[Violation, ...]:
    """Return the violations of the rules about the clock of this machine, for any step."""
    if situation.evidence is None:
        return ()
    found = (follows_journal(situation), agrees_with_servers(situation))
    return tuple(violation for violation in found if violation is not None)


def follows_journal(situation: Situation) -> Violation | None:
    """Return a violation if the time of the step is before the newest entry of the journal."""
    problem = behind_journal(situation.evidence, situation.now) if situation.evidence else ""
    if not problem:
        return None
    return Violation("clock", problem + _hint(situation), client_count(situation), fix=REPAIR)


def behind_journal(evidence: TimeEvidence, now: datetime) -> str:
    """Return why a step may not be recorded at the time ``now``: the newest journal entry is later.

    Empty if it may. ``CLOCK_TOLERANCE`` is allowed.
    """
    newest = evidence.newest
    if newest is None or newest - now <= CLOCK_TOLERANCE:
        return ""
    return (
        f"the newest entry of the journal ({evidence.entry}, {in_utc(newest)}) is "
        f"{_apart(newest - now)} later than the clock of this machine"
    )


def agrees_with_servers(situation: Situation) -> Violation | None:
    """Return a violation if the clock of this machine differs from that of a contacted server."""
    problem = clock_problem(situation.evidence) if situation.evidence else ""
    if not problem:
        return None
    return Violation(
        "clock",
        problem,
        client_count(situation),
        fix="set the clock of this machine, or of that server if it is the one that is wrong",
    )


def clock_problem(evidence: TimeEvidence) -> str:
    """Return how the clock of this machine differs from that of a server; empty if none differs."""
    wrong = [each for each in evidence.dates if each.difference > CLOCK_TOLERANCE]
    return f"the clock of this machine is {difference_text(wrong[0])}" if wrong else ""


def ends_confirmed(situation: Situation, numbers: str) -> Violation | None:
    """Return a violation if only the clock of this machine says that versions have ended.

    A version has ended when no client holds it any more.

    Args:
        situation: the facts about a host. A step at this host is safe only if the versions have
            ended.
        numbers: the versions, as text.
    """
    found = unconfirmed(situation)
    if found is None:
        return None
    problem = f"only the clock of this machine says that no client holds {numbers} any more"
    return replace(found, problem=f"{problem}: {found.problem}")


def unconfirmed(situation: Situation) -> Violation | None:
    """Return a violation unless a server's time confirms the clock of this machine."""
    if situation.evidence is None or situation.evidence.confirmed:
        return None
    return Violation(
        "clock",
        f"no server confirmed the time{_hint(situation)}",
        client_count(situation),
        fix="contact a server that answers by HTTPS with a Date: leave out --offline; if there is "
        "none, repeat it with --force --reason TEXT",
    )


def without_ends(situation: Situation) -> Situation:
    """Return a copy of the facts about a host in which versions end only by a journal entry.

    There no date has ended a version: clients may still hold it.
    """
    return replace(situation, deployed=replace(situation.deployed, endless=True))


def difference_text(date: ServerDate) -> str:
    """Return how far the clock of this machine is from that of a server, as text."""
    word = "ahead of" if date.local > date.date else "behind"
    return f"{_apart(date.difference)} {word} that of {date.source} ({in_utc(date.date)})"


def _apart(difference: timedelta) -> str:
    """Return a difference of clocks as text, to the minute: servers' times are no more exact."""
    return format_duration(round(difference / _MINUTE) * _MINUTE)


def _hint(situation: Situation) -> str:
    """Return the first wrong time of an unverified server, as text; empty if there is none."""
    hints = situation.evidence.hints if situation.evidence else ()
    wrong = [each for each in hints if each.difference > CLOCK_TOLERANCE]
    if not wrong:
        return ""
    return f"; it seems to be {difference_text(wrong[0])}, which has no verified chain"
