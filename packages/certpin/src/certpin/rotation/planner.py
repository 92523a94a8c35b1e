"""Plan a rotation: the dated steps that replace the served key, or chain, by another one.

    push the latest version, if it is pending
    make and stage the next backup, and stage the new key if it is not in the draft yet
    publish                         now
    activate the new key            not before every version alive accepts it
    serve it at every server
    retire each old key             when no server presents it, and every client accepts a backup
    remove it, and publish

To push is to upload a signed version, to stage is to put a pin into the draft, and to activate is
to allow servers to use a key. The draft is the pin file that would be published next. A version is
alive while some client may hold it. If clients accept the new chain by the pin of an authority, the
only step is to serve it.

The steps are then rehearsed on a copy of the situation (the facts about the host). The rehearsal
applies the same safety rules (``certpin.rotation.gate``) as the commands that take the steps, to
the same chain. If only the key is known, it assumes a chain.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from certpin.errors import CertificateParseError
from certpin.rotation.faults import chain_fault, openssl_path
from certpin.rotation.gate import check_now, check_step
from certpin.rotation.plan import (
    NEXT_BACKUP,
    Plan,
    Step,
    at_time,
    is_push_pending,
    is_served_everywhere,
    replaced_pins,
    with_published,
    with_pushed,
    with_served,
    with_staged,
    with_state,
)
from certpin.rotation.prospect import (
    assumed_prospects,
    conclusion_of_version,
    conclusions_by_version,
    prospects_of_key,
    role_in,
    sent_certificates,
    with_private_anchors,
)
from certpin.rotation.rules import (
    adopted_backup_kept,
    dropped_pins,
    not_removed,
    valid_certificates,
)
from certpin.rotation.situation import Version, last_end
from certpin.rotation.violation import Violation
from certpin.x509 import name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from certpin.pins import Pin, State
    from certpin.rotation.plan import Act
    from certpin.rotation.prospect import Prospect
    from certpin.rotation.situation import Situation
    from certpin.x509 import Certificate

_UNUSED = "no server uses it any more"
# The date is unknown, because it isn't known when clients will have left an app's binary.
_UNUSED_AND_BACKUP = f"{_UNUSED}, and every client accepts a backup"
_USES: tuple[Act, ...] = ("activate", "serve")  # the steps by which servers use the new key
_STATES: dict[Act, State] = {"activate": "active", "retire": "retiring", "remove": "removed"}


@dataclass(frozen=True)
class _Goal:
    """The key to which a plan leads, with the chain that servers will present.

    Attributes:
        pin: the pin of the key.
        begin: the time of the plan.
        prospects: the chains that servers may present, as far as they are known; empty if only the
            key is known.
        guard: a function that checks more rules. It takes the facts about the host, and returns the
            violations that the use of the chain would cause.
        needs_pin: False if clients accept the chain by the pins of its authorities, so that the key
            itself needs no pin.
    """

    pin: Pin
    begin: datetime
    prospects: tuple[Prospect, ...]
    guard: Callable[[Situation], Iterable[Violation]]
    needs_pin: bool

    def chains(self, situation: Situation) -> tuple[Prospect, ...]:
        """Return the chains that servers may present; assumed ones if only the key is known."""
        return self.prospects or assumed_prospects(situation, self.pin)

    @property
    def certificates(self) -> list[Certificate]:
        """The certificates that servers will send; empty if only the key is known."""
        return sent_certificates(self.prospects[0]) if self.prospects else []


def plan(
    situation: Situation,
    to: Pin,
    prospects: Sequence[Prospect] = (),
    guard: Callable[[Situation], Iterable[Violation]] = lambda _: (),
) -> Plan:
    """Plan the steps that replace the currently served key or chain by another one.

    Args:
        situation: the facts about the host.
        to: the pin of the new key.
        prospects: the chains that servers may present with this key, as ``check_step`` takes them.
            Without them, only the key is known: the plan then assumes that clients verify the
            chain, and that the key has the role that the pin file gives it.
        guard: a function that checks more rules. It takes the facts about the host at the time at
            which servers begin to use the chain, and returns the violations that this would cause.

    Returns:
        The plan. Not planned: how to get the certificate, how to get its root into ``trust``, and
        versions that other people publish meanwhile. After such a change, plan again: completed
        steps are left out.

    Raises:
        ConfigError: a pin set of the plan would be invalid.
    """
    broken = check_now(situation)
    if violations := tuple(_cannot_begin(situation, to)):
        return Plan(to, (), violations, broken=broken)
    needs_pin = _needs_pin(situation, to, prospects)
    goal = _Goal(to, situation.now, tuple(prospects), guard, needs_pin)
    made = replace(_rehearse(situation, goal, _steps(situation, goal), broken), broken=broken)
    dates = [step.not_before for step in made.steps if step.act in _USES and step.not_before]
    last = max(dates, default=None)
    served = [each.chain.leaf for each in situation.sightings if each.chain]
    made = replace(made, renew_by=_first_end(served, last))
    path = _ending_path(situation, goal, last)
    reissue_by = _first_end(path, last)
    if reissue_by is None:
        return made
    ending = next(each for each in path if _expiry_of(each) == reissue_by)
    is_authority = ending != goal.certificates[0]
    return replace(
        made,
        reissue_by=reissue_by,
        ending_authority=name_of(ending) if is_authority else "",
    )


def _rehearse(
    situation: Situation, goal: _Goal, steps: list[Step], broken: Sequence[Violation]
) -> Plan:
    """Take each step of a plan at its earliest safe date, on a copy of the facts about the host.

    Args:
        situation: the facts about the host before the first step. Their evidence about the clock is
            ignored, because the steps are taken at future dates.
        goal: the new key or chain.
        steps: the steps in their order, without dates.
        broken: the safety rules that are broken before the first step.

    Returns:
        The dated steps, up to the first one that the safety rules refuse or that would lock clients
        out.
    """
    situation = replace(situation, evidence=None)  # its steps are judged at their dates
    known = {each.invariant for each in broken}
    dated: list[Step] = []
    for planned in steps:
        step, situation = _dated(planned, situation, goal, dated)
        if violations := _check(step, situation, goal):
            return Plan(goal.pin, tuple(dated), violations)
        situation = _taken(step, situation, goal)
        dated.append(step)
        added = [each for each in check_now(situation) if each.invariant not in known]
        if added:
            return Plan(goal.pin, tuple(dated[:-1]), tuple(added))
    return Plan(goal.pin, tuple(dated))


def _cannot_begin(situation: Situation, to: Pin) -> Iterator[Violation]:
    yield from check_step(situation, "stage", to)
    if (removed := not_removed(situation, to)) is not None:
        yield removed
    if not situation.alive:
        yield Violation(
            "adopted",
            "no published version is recorded, so it is unknown which pins clients accept",
            None,
            fix=f"record the published version: certpin rotate shipped {situation.pins.version}",
        )


def _needs_pin(situation: Situation, to: Pin, prospects: Sequence[Prospect]) -> bool:
    """Return True if the plan has to publish the pin of the new key, ``to``, before servers use it.

    ``prospects`` are the chains that servers may present with the key.

    - If only the key is known, the result is True.
    - If clients compare only authorities (``match = "ca"``), so that a leaf's pin has no effect,
      the result is False.
    - In all other cases, the result is True if the draft (the pin file) has the pin already, or if
      clients with the draft accept the chain only with the pin.
    """
    if not prospects:
        return True
    if situation.policy.match == "ca" and any(each.leaf for each in prospects):
        return False
    if situation.entry(to) is not None or _draft_accepts(situation, prospects):
        return situation.entry(to) is not None
    return _draft_accepts(with_staged(situation, to), prospects)


def _draft_accepts(situation: Situation, prospects: Sequence[Prospect]) -> bool:
    """Return True if clients with the draft (the next version) accept each of the chains.

    ``prospects`` are the chains that servers may present.
    """
    given = with_private_anchors(situation, prospects)
    return conclusion_of_version(situation, Version(situation.pins), given) == "accepted"


def _steps(situation: Situation, goal: _Goal) -> list[Step]:
    """Return the steps of a plan, without dates, that replace the served key by the new one.

    Steps that are done already are left out.

    ``goal`` has the new key and its chain.
    """
    to, steps = goal.pin, [Step("push")] if is_push_pending(situation) else []
    stages = goal.needs_pin and situation.entry(to) is None
    draft = with_staged(situation, to) if stages else situation
    entry = situation.entry(to)
    is_active = not goal.needs_pin or (entry is not None and entry.state == "active")
    switch = [] if is_active else [Step("activate", to)]
    if not _is_presented_everywhere(situation, goal):
        switch.append(Step("serve", to))
    if goal.prospects and not _draft_accepts(draft, goal.prospects):
        # No publish of the plan helps, for example if `trust` lacks the root: the gate decides.
        return [*steps, *switch]
    old = replaced_pins(situation, to, role_in(situation, to, goal.prospects))
    if not goal.needs_pin:
        old = tuple(each.pin for each in situation.policy.pins if each.state == "lost")
    published = _is_published(situation, goal)
    has_change = goal.needs_pin or bool(old) or not published
    if has_change and not _has_spare(situation, to, old):
        steps += [Step("generate", NEXT_BACKUP), Step("stage", NEXT_BACKUP)]
    if stages:
        steps.append(Step("stage", to))
    # A pin that the draft drops already, such as a compromised one, must not go before its key is
    # unused. Then the only publish comes last, unless the new key has to be published first.
    late = published and bool(dropped_pins(situation))
    staged = any(step.act == "stage" for step in steps) or any(
        entry.state == "staged" for entry in situation.policy.pins
    )
    if not published or (staged and not late):
        steps.append(Step("publish"))
    clearing = _clear_away(situation, old)
    # The old key stays until clients accept the staged backup.
    backup = [Step("publish")] if late and staged and clearing else []
    last = [Step("publish")] if clearing or late else []
    return [*steps, *switch, *backup, *clearing, *last]


def _is_published(situation: Situation, goal: _Goal) -> bool:
    latest = situation.deployed.latest
    if latest is None or not goal.prospects:
        return latest is not None and situation.is_accepted_by(latest, goal.pin)
    given = with_private_anchors(situation, goal.prospects)
    return conclusion_of_version(situation, latest, given) == "accepted"


def _is_presented_everywhere(situation: Situation, goal: _Goal) -> bool:
    """Return True if every probed server presents the new key, and its chain if that is known.

    The plan then needs no step ``serve``. Return False if no server was probed. ``goal`` has the
    new key and its chain.
    """
    if not any(each.leaf for each in goal.prospects):
        return is_served_everywhere(situation, goal.pin)
    new = {each.der for each in goal.certificates}
    seen = [
        {
            each.der
            for chain in (sighting.chain, sighting.served)
            for each in (chain.certificates if chain else ())
        }
        for sighting in situation.sightings
    ]
    return bool(seen) and all(new <= each for each in seen)


def _clear_away(situation: Situation, old: tuple[Pin, ...]) -> list[Step]:
    states = {entry.pin: entry.state for entry in situation.policy.pins}
    steps = []
    for pin in old:  # one command takes both steps of a key
        if states[pin] == "active":
            steps.append(Step("retire", pin, waits=_UNUSED))
        steps.append(Step("remove", pin, waits=_UNUSED))
    return steps


def _has_spare(situation: Situation, to: Pin, old: tuple[Pin, ...]) -> bool:
    """Return True if a backup is left when servers use ``to``, and ``old`` is removed.

    The backup must be in the draft (the pin file). ``to`` is the pin of the new key, and ``old``
    has the pins of the keys that it replaces. Unlike the safety rule ``backup``, this function also
    checks policies that only report.
    """
    if situation.policy.is_own_backup_without({*old, *situation.lost, *situation.compromised}):
        return True
    gone = {to, *old} | (situation.served - {to})
    return bool(situation.usable - gone)


def _first_end(certificates: Iterable[Certificate], last: datetime | None) -> datetime | None:
    """Return the first expiry of the certificates of a plan, if it is at or before ``last``.

    ``last`` is the last date of the plan. Return ``None`` if all certificates expire later, if
    ``last`` is ``None``, or if no expiry is known.
    """
    first = min(filter(None, map(_expiry_of, certificates)), default=None)
    return first if first is not None and last is not None and first <= last else None


def _ending_path(situation: Situation, goal: _Goal, last: datetime | None) -> list[Certificate]:
    """Return the certificates of the known chain in which one may expire before the plan ends.

    The result is empty if no client refuses the chain at the time ``last``. If some clients refuse
    it, the result has the path that they verify when the plan begins; or, if they verify no path
    then, all certificates that servers will send. Other certificates are left out, because their
    expiry has no effect on these clients.

    Args:
        situation: the facts about the host.
        goal: the new key and its chain.
        last: the last date of the plan; ``None`` if it has none.
    """
    if last is None:
        return []
    policies = situation.held_policies
    found: list[Certificate] = []
    for prospect in goal.prospects:
        for policy in policies:
            if chain_fault(prospect, policy, last) is not None:
                path = openssl_path(prospect, policy, goal.begin)
                found += path.certificates if path else sent_certificates(prospect)
    return found


def _expiry_of(certificate: Certificate) -> datetime | None:
    """Return when a certificate expires; ``None`` if that is unknown."""
    try:
        return certificate.not_after
    except CertificateParseError:
        return None


def _dated(
    step: Step, situation: Situation, goal: _Goal, before: list[Step]
) -> tuple[Step, Situation]:
    """Return a step with its earliest safe date, and the facts about the host at that date.

    Args:
        step: the step, without a date.
        situation: the facts about the host after the previous steps.
        goal: the new key or chain.
        before: the previous steps of the plan, with dates.
    """
    if step.act == "publish":
        return replace(step, version=with_published(situation).pins.version), situation
    if step.act == "push" and situation.deployed.latest:
        return replace(step, version=situation.deployed.latest.number), situation
    others: tuple[Violation | None, ...]
    if step.act in _USES:
        chains = goal.chains(situation)
        found = conclusions_by_version(situation, chains)
        refusing = [version for version, conclusion in found if conclusion != "accepted"]
        adopted = last_end(situation, refusing) if refusing else None
        others = (valid_certificates(situation, chains), *goal.guard(situation))
    elif step.act in {"retire", "remove"} and step.pin:
        # One command takes both steps, so the first one waits until the second one is allowed.
        kept = adopted_backup_kept(situation, step.pin)
        if kept is not None and kept.safe_from is None:
            step = replace(step, waits=_UNUSED_AND_BACKUP)
        adopted, others = kept.safe_from if kept is not None else None, ()
    else:
        return step, situation
    dates = [each.safe_from for each in others if each is not None]
    moment = max(filter(None, (adopted, *dates)), default=None)
    if moment is not None:
        available = (each.version for each in reversed(before) if each.act in {"publish", "push"})
        version = next(available, None) if moment == adopted else None
        step = replace(step, not_before=moment, counts_from=version)
        situation = at_time(situation, moment)
    needs_chain = step.act in _USES and _needs_chain(situation, goal)
    return replace(step, needs_chain=needs_chain), situation


def _needs_chain(situation: Situation, goal: _Goal) -> bool:
    """Return True if the user must give the chain of the new key, because its pin is not enough.

    The pin is not enough if all of these conditions are met:

    - only the key is known, so that the plan assumes a chain;
    - clients with some version of the pin set accept the assumed chain;
    - the same clients may refuse another chain with this key.

    ``goal`` has the new key and its chain.
    """
    by_key = conclusions_by_version(situation, prospects_of_key(situation, goal.pin))
    assumed = conclusions_by_version(situation, goal.chains(situation))
    return not goal.prospects and any(
        conclusion == "open" and (version, "accepted") in assumed for version, conclusion in by_key
    )


def _check(step: Step, situation: Situation, goal: _Goal) -> tuple[Violation, ...]:
    match step.act:
        case "generate" | "push":
            return ()
        case "publish":
            version = with_published(situation).pins.version
            numbered = replace(situation, pins=replace(situation.pins, version=version))
            return check_step(numbered, "publish")
        case "activate" | "serve" as act:
            chains = goal.chains(situation)
            broken = check_step(situation, act, goal.pin, chains, renews=True)
            found = (*broken, *goal.guard(situation))
            if _only_expires(situation, goal):  # `reissue_by` says so
                found = tuple(each for each in found if each.invariant != "certificate")
            return found
        case "remove" if step.pin:
            kept = adopted_backup_kept(situation, step.pin)  # the step waits for its end
            return tuple(each for each in check_step(situation, "remove", step.pin) if each != kept)
        case act:
            return check_step(situation, act, step.pin)


def _only_expires(situation: Situation, goal: _Goal) -> bool:
    """Return True if the known chain had no fault when the plan began, for any client.

    Call it for a chain that has a fault at the later time of ``situation``. If the result is True,
    a certificate has only expired in between: ``Plan.reissue_by`` reports that, and it is no
    violation. The clients are those with the versions that may be held at the later time. ``goal``
    has the new key and its chain.
    """
    return all(
        chain_fault(prospect, policy, goal.begin) is None
        for policy in situation.held_policies
        for prospect in goal.prospects
    )


def _taken(step: Step, situation: Situation, goal: _Goal) -> Situation:
    if step.act == "publish":
        return with_published(situation)
    if step.act == "push":
        return with_pushed(situation)
    if step.pin is None or step.act == "generate":
        return situation
    if step.act == "stage":
        return with_staged(situation, step.pin)
    if step.act == "serve":
        return with_served(situation, step.pin, goal.prospects, goal.begin)
    return with_state(situation, step.pin, _STATES[step.act])
