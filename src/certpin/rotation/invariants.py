"""What must hold at every moment: one function an invariant. Each returns its breach, or ``None``.

They look at versions: those that are alive, or the draft as the one that is about to go out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.pins import verify
from certpin.rotation.breach import Breach, in_utc
from certpin.rotation.field import Version, count, policy_in
from certpin.rotation.timing import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from certpin.pins import HostPolicy
    from certpin.rotation.situation import Sighting, Situation


def everyone(situation: Situation) -> int | None:
    """How many clients there are; ``None`` where that is not known."""
    alive = situation.field.alive(situation.now, situation.timing)
    return count(alive) if alive else None


def draft(situation: Situation) -> Version:
    """The draft as the version that it would be if it went out now."""
    return Version(situation.pins, fetched=situation.now, clients=everyone(situation))


def served_chain(situation: Situation, versions: Sequence[Version]) -> Breach | None:
    """What each vantage serves is accepted by each of these versions.

    A chain that did not verify is refused by all. Pins past their date are another invariant's.
    """
    for sighting in situation.sightings:
        refusing = [each for each in versions if _refuses(situation, each, sighting)]
        if refusing:
            what = "serves a key that" if sighting.chain else "serves no chain that verifies, so"
            return Breach(
                "served-chain",
                f"{sighting.vantage} {what} {named(refusing)} {_verb(refusing)}"
                + ("" if sighting.chain else " it"),
                count(refusing),
                safe_from=_last_death(situation, refusing) if sighting.chain else None,
                fix="let that server use a key that every version alive accepts",
            )
    return None


def backup(situation: Situation) -> Breach | None:
    """The draft has at least two live pins, and at least one outside every served chain."""
    policy = situation.policy
    if policy.mode != "enforce":
        return None
    live = set(policy.live_pins)
    if len(live) >= 2 and live - situation.served:
        return None
    return Breach(
        "backup",
        "every pin is in the chain that is served: if its key is lost, there is no way on",
        everyone(situation),
        fix="make a backup: certpin rotate generate, then certpin rotate stage",
    )


def version_rises(situation: Situation) -> Breach | None:
    """The draft has a higher version than any that ever went out."""
    latest = situation.field.latest
    if latest is None or situation.pins.version > latest.number:
        return None
    return Breach(
        "version",
        f"version {situation.pins.version} does not rise above {latest.number}, which is out: "
        "no client goes back",
        everyone(situation),
        fix=f"give it version {latest.number + 1}",
    )


def expiry(situation: Situation, versions: Iterable[Version]) -> Breach | None:
    """No version's pins end, failing closed, before its clients can have the next.

    Pins that end with ``on_expiry`` fail-open or report lock nobody out.
    """
    for version in versions:
        policy = policy_in(version.pins, situation.pattern)
        end = _hard_end(policy)
        if end is not None and not _ends_late_enough(situation, version, end):
            return Breach(
                "expiry",
                f"the pins of version {version.number} end on {in_utc(end)}, "
                "before every client that holds it can have the next",
                version.clients,
                fix="publish a version whose `expires` is further away than T_adopt "
                f"({format_duration(situation.timing.adopt)})",
            )
    return None


def of_the_field(situation: Situation) -> tuple[Breach, ...]:
    """All that is broken now, before anything is done."""
    alive = situation.field.alive(situation.now, situation.timing)
    found = (served_chain(situation, alive), expiry(situation, alive))
    return tuple(breach for breach in found if breach is not None)


def named(versions: Sequence[Version]) -> str:
    """Versions by their numbers: ``version 3``, ``versions 3 and 4``."""
    numbers = [str(each) for each in sorted({version.number for version in versions})]
    if len(numbers) == 1:
        return f"version {numbers[0]}"
    return f"versions {', '.join(numbers[:-1])} and {numbers[-1]}"


def _verb(versions: Sequence[Version]) -> str:
    return "refuses" if len({each.number for each in versions}) == 1 else "refuse"


def _refuses(situation: Situation, version: Version, sighting: Sighting) -> bool:
    policy = policy_in(version.pins, situation.pattern)
    if policy is None:
        return False
    verdict = verify(sighting.chain, policy, situation.now)
    return verdict.decision == "refuse" and verdict.reason != "expired"


def _last_death(situation: Situation, versions: Iterable[Version]) -> datetime | None:
    """From when on none of them is held; ``None`` where nobody can say."""
    ends = [situation.field.dies(each, situation.timing) for each in versions]
    known = [end for end in ends if end is not None]
    return max(known) if len(known) == len(ends) else None


def _hard_end(policy: HostPolicy | None) -> datetime | None:
    if policy is None or policy.mode != "enforce" or policy.on_expiry != "fail-closed":
        return None
    return policy.expires


def _ends_late_enough(situation: Situation, version: Version, end: datetime) -> bool:
    death = situation.field.dies(version, situation.timing)
    if death is not None:
        return end >= death
    return end - situation.now > situation.timing.adopt
