"""The gate: decides whether a step of a rotation is safe.

``check_step`` applies the safety rules of a step to a situation, before the step is taken. It
returns one violation for each rule that the step would break; an empty tuple means that the step is
safe. ``check_now`` applies the rules that must hold at every moment. Each rule is a function that
returns its violation, or ``None``. The draft is the pin file that would be published next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NoReturn

from certpin.pins import verify
from certpin.rotation.adoption import (
    Version,
    adoption,
    count_clients,
    format_duration,
    in_utc,
    last_end,
    policy_in,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from certpin.pins import HostPolicy, Pin
    from certpin.rotation.adoption import Adoption, Sighting, Situation

Invariant = Literal[
    "served-chain",
    "backup",
    "version",
    "expiry",
    "adopted",
    "active-pin",
    "last-backup",
    "still-served",
    "unseen",
    "compromised",
    "vantage",
]
GatedStep = Literal["stage", "publish", "activate", "serve", "retire", "remove"]


@dataclass(frozen=True)
class Violation:
    """A safety rule that a step of a rotation would break.

    Attributes:
        problem: one sentence, without its full stop.
        clients: how many clients would be locked out or unprotected; ``None`` if unknown.
        safe_from: the first time at which the step is safe; ``None`` if waiting does not help.
        fix: how the user can prevent it.
    """

    invariant: Invariant
    problem: str
    clients: int | None
    safe_from: datetime | None = None
    fix: str = ""

    @property
    def at_risk(self) -> str:
        """The number of clients that would be locked out or unprotected, in words."""
        if self.clients is None:
            return "an unknown number of clients"
        return "1 client" if self.clients == 1 else f"{self.clients} clients"

    def __bool__(self) -> NoReturn:
        raise TypeError("a violation has no truth value: compare it with None")


def check_step(
    situation: Situation, step: GatedStep, pin: Pin | None = None
) -> tuple[Violation, ...]:
    """Return the violations that a step of a rotation would cause, each once.

    Args:
        situation: the situation before the step. For ``publish``, its draft has the version number
            that it will be published under.
        step: ``activate`` comes before servers may use a key, ``serve`` before one does; ``retire``
            records that no server uses it.
        pin: the pin of the step; ``None`` for ``publish``.

    Raises:
        TypeError: ``pin`` is missing.
    """
    found: tuple[Violation | None, ...]
    if step == "publish":
        found = _publish_rules(situation)
    elif pin is None:
        raise TypeError(f"{step} needs a pin")
    elif step == "stage":
        found = (not_compromised(situation, pin),)
    elif step in {"activate", "serve"}:
        found = (not_compromised(situation, pin), is_adopted(situation, pin))
    elif step == "retire":
        found = (served_keys_known(situation, pin), not_served(situation, pin))
    else:
        found = (
            not_active(situation, pin),
            served_keys_known(situation, pin),
            not_served(situation, pin),
            not_last_backup(situation, pin),
        )
    return tuple(dict.fromkeys(violation for violation in found if violation is not None))


def check_now(situation: Situation) -> tuple[Violation, ...]:
    """Return the violations of the rules that must hold at every moment, before any step."""
    alive = situation.alive
    found = (served_chain(situation, alive), expiry(situation, alive))
    return tuple(violation for violation in found if violation is not None)


def _publish_rules(situation: Situation) -> tuple[Violation | None, ...]:
    """Return the violations of publishing the draft (the next version) and of the pins it drops."""
    new = Version(situation.pins, fetched=situation.now, clients=client_count(situation))
    live = tuple(situation.policy.live_pins)
    dropped = dropped_pins(situation)
    return (
        version_rises(situation),
        *(not_compromised(situation, pin) for pin in live),
        *(not_from_one_vantage(situation, pin) for pin in live),
        backup(situation),
        served_chain(situation, [new]),
        expiry(situation, [new]),
        *(not_active(situation, pin) for pin in dropped),
        *(served_keys_known(situation, pin) for pin in dropped),
    )


# Rules about versions: those that are alive, or the draft that is about to be published.


def served_chain(situation: Situation, versions: Sequence[Version]) -> Violation | None:
    """Return a violation unless each of these versions accepts the chain of every probed server.

    All versions refuse a chain that did not verify. Expired pins are left to ``expiry``.
    """
    for sighting in situation.sightings:
        refusing = [version for version in versions if _refuses(situation, version, sighting)]
        if refusing:
            what = "serves a key that" if sighting.chain else "serves no chain that verifies, so"
            return Violation(
                "served-chain",
                f"{sighting.vantage} {what} {version_list(refusing)} {_verb(refusing)}"
                + ("" if sighting.chain else " it"),
                count_clients(refusing),
                safe_from=last_end(situation, refusing) if sighting.chain else None,
                fix="let that server use a key that every version alive accepts",
            )
    return None


def backup(situation: Situation) -> Violation | None:
    """Return a violation unless the draft has two live pins, one of them outside served chains.

    The draft is the pin file that would be published next. Clients accept a live pin.
    """
    policy = situation.policy
    if policy.mode != "enforce":
        return None
    live = set(policy.live_pins)
    if len(live) >= 2 and live - situation.served:
        return None
    return Violation(
        "backup",
        "every pin is in the chain that is served: if its key is lost, clients are locked out",
        client_count(situation),
        fix="make a backup: certpin rotate generate, then certpin rotate stage",
    )


def version_rises(situation: Situation) -> Violation | None:
    """Return a violation unless the version of the draft is higher than every published version."""
    latest = situation.deployed.latest
    if latest is None or situation.pins.version > latest.number:
        return None
    return Violation(
        "version",
        f"version {situation.pins.version} is not higher than {latest.number}, which is published: "
        "clients never take a lower version",
        client_count(situation),
        fix=f"give it version {latest.number + 1}",
    )


def expiry(situation: Situation, versions: Iterable[Version]) -> Violation | None:
    """Return a violation if pins of a version expire before all clients can have the next version.

    Only ``on_expiry = "fail-closed"`` matters: the other values lock no client out.
    """
    for version in versions:
        policy = policy_in(version.pins, situation.pattern)
        end = _hard_expiry(policy)
        if end is not None and not _expires_late_enough(situation, version, end):
            return Violation(
                "expiry",
                f"the pins of version {version.number} expire on {in_utc(end)}, "
                "before every client that holds it can have the next",
                version.clients,
                fix="publish a version whose `expires` is further away than T_adopt "
                f"({format_duration(situation.timing.adopt)})",
            )
    return None


# Rules about one pin.


def is_adopted(situation: Situation, pin: Pin) -> Violation | None:
    """Return a violation unless every version that some client may hold accepts the key."""
    found = adoption(situation, pin)
    if found.adopted:
        return None
    return Violation(
        "adopted",
        f"{pin} is not adopted: {_why_not_adopted(situation, found)}",
        found.clients,
        safe_from=found.moment,
        fix=_how_to_adopt(situation, found),
    )


def not_active(situation: Situation, pin: Pin) -> Violation | None:
    """Return a violation if the pin is ACTIVE, so that servers may use its key.

    A compromised pin is no violation, because it has to be removed.
    """
    entry = situation.entry(pin)
    if entry is not None and entry.state == "compromised":
        return None
    state = entry.state if entry and entry.live else situation.past.states.get(pin)
    if state != "active":
        return None
    return Violation(
        "active-pin",
        f"{pin} is ACTIVE: servers may use its key",
        client_count(situation),
        fix="retire it first: certpin rotate retire",
    )


def not_served(situation: Situation, pin: Pin) -> Violation | None:
    """Return a violation if a probed server presents the key, so that it may not be retired."""
    vantages = situation.serving(pin)
    if not vantages:
        return None
    return Violation(
        "still-served",
        f"{pin} is served by {', '.join(vantages)}: a client without it would be locked out there",
        client_count(situation),
        fix="let every server use another key first: certpin rotate activate",
    )


def not_last_backup(situation: Situation, pin: Pin) -> Violation | None:
    """Return a violation if the pin is the last live one outside the served chains.

    The next rotation needs such a backup.
    """
    policy = situation.policy
    outside = set(policy.live_pins) - situation.served
    if policy.mode != "enforce" or outside - {pin} or pin not in policy.live_pins:
        return None
    return Violation(
        "last-backup",
        f"{pin} is the last pin outside the chain that is served",
        client_count(situation),
        fix="make another first: certpin rotate generate, stage and publish",
    )


def served_keys_known(situation: Situation, pin: Pin) -> Violation | None:
    """Return a violation if no server was probed: one may still use the key of this pin."""
    if situation.sightings:
        return None
    return Violation(
        "unseen",
        f"it is unknown whether {pin} is still served",
        client_count(situation),
        fix="run it without --offline, or give the served chain: --served FILE",
    )


def not_compromised(situation: Situation, pin: Pin) -> Violation | None:
    """Return a violation if the key was compromised: it must never be used again."""
    if pin not in situation.past.compromised:
        return None
    return Violation(
        "compromised",
        f"{pin} is COMPROMISED: an attacker who has its key can read connections",
        client_count(situation),
        fix="make a new key: certpin rotate generate",
    )


def not_from_one_vantage(situation: Situation, pin: Pin) -> Violation | None:
    """Return a violation if the pin's only source is the unverified chain of one server."""
    showing = [each.vantage for each in situation.sightings if pin in each.unverified]
    out = any(pin in _live_pins(situation, version) for version in situation.deployed.versions)
    if len(showing) != 1 or out or pin in situation.served | situation.past.known:
        return None
    return Violation(
        "vantage",
        f"{pin} was only seen at {showing[0]}, in a chain that did not verify: "
        "it may be an attacker's",
        client_count(situation),
        fix="compare it with the server's own file: certpin rotate stage FILE",
    )


def dropped_pins(situation: Situation) -> tuple[Pin, ...]:
    """Return the pins that the latest version accepts and the draft (the next version) does not."""
    latest = situation.deployed.latest
    before = policy_in(latest.pins, situation.pattern) if latest else None
    live = situation.policy.live_pins
    return tuple(pin for pin in (before.live_pins if before else ()) if pin not in live)


def client_count(situation: Situation) -> int | None:
    """Return how many clients hold a version that is alive; ``None`` if unknown."""
    alive = situation.alive
    return count_clients(alive) if alive else None


def version_list(versions: Sequence[Version]) -> str:
    """Return versions by their numbers: ``version 3``, ``versions 3 and 4``."""
    numbers = [str(number) for number in sorted({version.number for version in versions})]
    if len(numbers) == 1:
        return f"version {numbers[0]}"
    return f"versions {', '.join(numbers[:-1])} and {numbers[-1]}"


def _verb(versions: Sequence[Version]) -> str:
    return "refuses" if len({version.number for version in versions}) == 1 else "refuse"


def _refuses(situation: Situation, version: Version, sighting: Sighting) -> bool:
    policy = policy_in(version.pins, situation.pattern)
    if policy is None:
        return False
    verdict = verify(sighting.chain, policy, situation.now)
    return verdict.decision == "refuse" and verdict.reason != "expired"


def _hard_expiry(policy: HostPolicy | None) -> datetime | None:
    if policy is None or policy.mode != "enforce" or policy.on_expiry != "fail-closed":
        return None
    return policy.expires


def _expires_late_enough(situation: Situation, version: Version, end: datetime) -> bool:
    last = situation.deployed.end_of_life(version, situation.timing)
    if last is not None:
        return end >= last
    return end - situation.now > situation.timing.adopt


def _live_pins(situation: Situation, version: Version) -> frozenset[Pin]:
    policy = policy_in(version.pins, situation.pattern)
    return frozenset(policy.live_pins) if policy else frozenset()


def _why_not_adopted(situation: Situation, found: Adoption) -> str:
    if found.refusing:
        names = version_list(found.refusing)
        said = f"{names} does not accept it" if "versions" not in names else f"{names} do not"
        return said + _overdue_note(situation, found)
    if not situation.deployed.versions:
        return "no published version is recorded"
    return "no version is alive"


def _overdue_note(situation: Situation, found: Adoption) -> str:
    """Return a text on versions that clients reported after their expected end; empty if none."""
    deployed, timing = situation.deployed, situation.timing
    late = [
        version
        for version in found.refusing
        if version.last_reported and deployed.is_overdue(version, timing)
    ]
    if not late:
        return ""
    last = max(version.last_reported for version in late if version.last_reported)
    return f", and clients reported {version_list(late)} as late as {last:%Y-%m-%d}"


def _how_to_adopt(situation: Situation, found: Adoption) -> str:
    latest = situation.deployed.latest
    if latest is None or not latest.accepts(situation.pattern, found.pin):
        return "publish it, and wait: certpin rotate stage, then certpin rotate publish"
    if latest.pending:
        return f"push version {latest.number}, and wait: certpin publish push"
    if found.moment is None:
        return (
            "a binary contains that version: when no client runs it any more, record that with "
            "certpin rotate ended"
        )
    return "wait"
