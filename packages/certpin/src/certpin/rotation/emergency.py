"""The shortest safe path after a key was stolen or lost: the steps that replace the key.

The path is computed after the journal has recorded the theft or loss. It follows the same safety
rules as every step of a rotation (``certpin.rotation.gate``):

    if servers use the key          switch to another key, install its certificate, publish
    if the key is a backup          publish without it
    if no backup is left            also start a new one
    if it is an authority's key     get the certificate from another authority
    if clients trust only its root  first give clients another root (``certpin.rotation.new_root``)

``certpin.rotation.next_key`` chooses the other key.

Servers are switched to another key, too, if clients refuse the chain that they present now, or if
they use another key that was stolen or lost: these rules refuse every version until that is fixed.
A path without steps means that nothing is left to do.

Usually there is a key to switch to: a policy that enforces pins has at least two of them, so
clients that accept the stolen key accept another key, too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from certpin.errors import ConfigError
from certpin.pins import Pin, pins_of
from certpin.pins.policy import meaning
from certpin.rotation.deadlines import key_exposure
from certpin.rotation.fleet import client_count
from certpin.rotation.gate import check_step, unlisted_servers
from certpin.rotation.next_key import (
    candidate_of,
    lock_outs_at_once,
    needs_new_chain,
    next_key,
    rank,
    unconfirmed_switch,
)
from certpin.rotation.plan import (
    NEXT_BACKUP,
    at_time,
    is_push_pending,
    is_served_everywhere,
    with_published,
    with_staged,
)
from certpin.rotation.rules import (
    common_trust_kept,
    dropped_pins,
    expiry,
    has_backup_without,
    not_active,
    served_chain,
)
from certpin.rotation.trust import anchor_pins, anchors_to_name, issuers_to_name
from certpin.rotation.violation import Violation
from certpin.support.text import in_utc
from certpin.x509.chain import read_facts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from certpin.rotation.deadlines import KeyExposure
    from certpin.rotation.next_key import KeyCandidate
    from certpin.rotation.situation import Situation

Fact = Literal["stolen", "lost"]
EmergencyAct = Literal[
    "gone",
    "start",
    "trust",
    "end",
    "request",
    "switch",
    "install",
    "publish",
    "finish",
    "mark",
    "revoke",
]


@dataclass(frozen=True)
class EmergencyStep:
    """One step of the path out of an emergency after a key was stolen or lost.

    Attributes:
        act: the command of the step, such as ``switch`` or ``publish``. The command ``gone`` is for
            a server that the pin file no longer lists. It is the first step, because the safety
            rules (the gate) refuse all other steps until the user lists the server again or records
            that it is switched off. ``trust`` adds another root to the file of ``trust``, ``end``
            records that no client has a version any more, and ``mark`` lets the pin file refuse a
            stolen root that servers no longer use.
        pin: the pin of the step's key. ``NEXT_BACKUP`` is for a key that doesn't exist yet and that
            servers switch to. ``None`` if the step makes a new backup, or is not about a key, such
            as ``publish``.
        not_before: the earliest time at which the step locks no client out; ``None`` if the step is
            safe at once.
        after_install: True if the step must wait until every server presents the new key.
        forced: True if the step locks clients out, and so needs ``--force``.
        chain: True if the user has to give ``switch`` the file of the new chain, not only the key.
            certpin then checks the authorities in the chain: their keys must not be stolen, and all
            clients must trust them.
        anchors: for ``request``, the names of the trust anchors that all versions have in common.
            The new certificate must be below one of them. Empty if the versions trust exactly the
            same anchors, or have none in common.
        issuers: for ``request`` if the versions have no anchor in common: the names of the
            authorities one of which must issue the certificate. Clients with any version can verify
            these authorities, by certificates that servers send now. Otherwise empty.
        server: for ``gone``, the server's name in the journal.
        version: for ``end``, the number of the version; otherwise ``None``.
        unconfirmed: for ``switch``, the violation if the gate will refuse the step because only
            this machine's clock shows that a version has ended; otherwise ``None``. The step is
            accepted if a server confirms the time.
    """

    act: EmergencyAct
    pin: Pin | None = None
    not_before: datetime | None = None
    after_install: bool = False
    forced: bool = False
    chain: bool = False
    anchors: tuple[str, ...] = ()
    issuers: tuple[str, ...] = ()
    server: str = ""
    version: int | None = None
    unconfirmed: Violation | None = None


@dataclass(frozen=True)
class EmergencyPath:
    """The consequences of a stolen or lost key at one host, and the steps to take.

    Attributes:
        host: the host pattern of the policy.
        pin: the pin of the stolen or lost key.
        fact: ``stolen`` or ``lost``.
        in_use: True if servers present the key, or may present it because not all of them answered.
        serving: the servers that presented the key.
        authority: True if it is the key of an authority in the chain of a server.
        others: the pins of other stolen or lost keys that servers present or may present.
        lockout: the violated rule if clients are locked out already, before any step; ``None`` if
            none are.
        root_first: True if the path first gives clients a different root than a stolen or lost one.
        chain_end: the first expiry of a certificate in a chain with a lost authority, which can
            issue no other. The path has to be taken before. ``None`` without such a chain.
        exposure: the clients that accept the stolen key, and until when if the steps are taken
            without delay; ``None`` for a lost key, which no attacker has.
        steps: the shortest path, in order; empty if nothing is left to do.
        harm: the violated rule, with the number of clients that even this path locks out, or leaves
            locked out until they have a later version (it is then ``lockout``); ``None`` if the
            path locks no client out.
        lacks_backup: True if some client refuses every backup, now or after the switch of the path:
            if the key in use is stolen then, too, each way locks clients out.
        at_once: for a stolen key in use, each other key of the pin file, with the violated rule if
            servers switch to it at once; ``None`` instead of the rule if that locks no client out.
            Empty if the path has no switch, or if clients first get another root.
        spare_from: the time from which every client accepts a backup, if the steps are taken
            without delay; ``None`` if all clients accept one already, or if the time is unknown.
        refused: the violated rule if the gate will refuse a version of the path because of the
            draft as it is now, such as an `expires` that is too early, and no step changes that;
            otherwise ``None``.
    """

    host: str
    pin: Pin
    fact: Fact
    in_use: bool
    serving: tuple[str, ...]
    exposure: KeyExposure | None
    steps: tuple[EmergencyStep, ...]
    harm: Violation | None = None
    spare_from: datetime | None = None
    authority: bool = False
    others: tuple[Pin, ...] = ()
    lockout: Violation | None = None
    root_first: bool = False
    chain_end: datetime | None = None
    lacks_backup: bool = False
    at_once: tuple[tuple[Pin, Violation | None], ...] = ()
    refused: Violation | None = None

    @property
    def is_safe(self) -> bool:
        """True if the steps of the path lock no client out, and leave none locked out."""
        return self.harm is None

    @property
    def is_only_time_left(self) -> bool:
        """True if clients are locked out already, and no step lets them in.

        They stay locked out until they have a later version of the pin set.
        """
        return self.lockout is not None and self.harm == self.lockout

    @property
    def kind(self) -> tuple[object, ...]:
        """The facts and steps of the path without the host's name, to find hosts with equal paths.

        Such hosts share one printed text.
        """
        stages = self.exposure.stages if self.exposure else ()
        problem = "" if self.harm is None else self.harm.problem
        facts = self.in_use, bool(self.serving), self.authority, self.others, self.lockout
        backup = self.lacks_backup, self.spare_from
        at_once = tuple(
            (pin, found.problem if found is not None else "") for pin, found in self.at_once
        )
        root = self.root_first, self.chain_end
        return facts, stages, self.steps, problem, backup, root, at_once, self.refused

    @property
    def needs_backup(self) -> bool:
        """True if one of the steps makes a new backup key."""
        return any(step.act == "start" for step in self.steps)


def emergency_path(
    situation: Situation, pin: Pin, fact: Fact, *, all_answered: bool = True, silent: bool = False
) -> EmergencyPath:
    """Return the shortest path after a key was stolen or lost that locks no client out.

    If every path locks clients out, return the one that affects the fewest clients.

    Args:
        situation: the facts about a host, in which the journal has the key as stolen or lost.
        pin: the pin of that key.
        fact: ``stolen`` or ``lost``.
        all_answered: False if a server of the host was not contacted, or did not answer: then
            servers may present an active key although no probe saw it.
        silent: True if a server was contacted and did not answer. It may still use a stolen or lost
            key. So the path then has the steps to the new key, even if all servers that answered
            use the new key already.

    Raises:
        ConfigError: the draft (the pin file that would be published next) would let an attacker in
            before clients trust another root.
    """
    forgotten = unlisted_servers(situation)
    unlisted = [EmergencyStep("gone", server=each.server) for each in forgotten]
    # Neither a wrong clock nor a server that is gone must hide the way out.
    timed = replace(situation, observed=())
    situation = replace(timed, evidence=None)
    unseen = not situation.all_verified or not all_answered
    same = situation.same_keys({pin})
    in_use = any(
        _is_in_use(situation, each, unseen=unseen, known=each != pin) for each in same
    ) or not same.isdisjoint(each.leaf for each in forgotten)
    others = tuple(
        other
        for other in sorted((situation.compromised | situation.lost) - same, key=str)
        if _is_in_use(situation, other, unseen=unseen, known=True)
    )
    lockout = served_chain(situation, situation.alive)
    suspects = {pin, *others} if in_use else {*others}
    choice = None
    if suspects or lockout is not None:
        choice = next_key(situation, pin, suspects & situation.compromised)
    assumed = silent and not all(situation.serving(each) for each in suspects)
    done = choice is not None and not assumed and _is_done(situation, choice.pin)
    if choice is not None:
        choice = replace(choice, unconfirmed=unconfirmed_switch(timed, choice))
    steps, out = _steps(situation, pin, fact, choice, done=done)
    publishes = any(each.act == "publish" for each in steps)
    exposure = key_exposure(situation, pin, published=out) if fact == "stolen" else None
    lacks_backup, spare_from = _spare(situation, choice, steps, out)
    is_switch = choice is not None and choice.root is None and not done
    needs_haste = is_switch and not situation.compromised.isdisjoint(suspects)
    return EmergencyPath(
        str(situation.pattern),
        pin,
        fact,
        in_use,
        situation.serving(pin),
        exposure,
        (*unlisted, *steps) if steps else (),
        _harm(situation, None if done else choice, lockout),
        spare_from,
        _is_authority(situation, pin),
        others,
        lockout,
        root_first=bool(choice and choice.root and not done),
        chain_end=_chain_end(situation),
        lacks_backup=lacks_backup,
        at_once=lock_outs_at_once(situation, pin) if needs_haste else (),
        refused=_refused_draft(situation) if publishes else None,
    )


def _chain_end(situation: Situation) -> datetime | None:
    """Return the first expiry of a certificate in a served chain with a lost authority."""
    lost = situation.lost
    found = [
        read_facts(each.der).not_after
        for sighting in situation.sightings
        if sighting.chain
        and any(lost.intersection(pins_of(each)) for each in sighting.chain.authorities)
        for each in sighting.chain.certificates
    ]
    return min(filter(None, found), default=None)


def _is_in_use(situation: Situation, pin: Pin, *, unseen: bool, known: bool = False) -> bool:
    """Return True if servers present a key, or may present it because not all servers were seen.

    Args:
        situation: the facts about the host.
        pin: the pin of the key.
        unseen: True if a server of the host was not contacted, did not answer, or presented a chain
            that does not verify.
        known: True to ignore ``unseen`` for a key without an entry in the pin file: such a key then
            counts as used only if a server presents it.
    """
    if situation.serving(pin):
        return True
    may_be = situation.entry(pin) is not None or not known
    return unseen and may_be and _may_be_served(situation, pin)


def _is_authority(situation: Situation, pin: Pin) -> bool:
    """Return True if ``pin`` is that of an authority in the verified path of a server."""
    paths = [seen.chain for seen in situation.sightings if seen.chain]
    return any(pin in pins_of(each) for path in paths for each in path.authorities)


def _is_done(situation: Situation, pin: Pin) -> bool:
    """Return True if servers use a key already, so that no switch to it is needed.

    The result is True if, in ``situation`` (the facts about the host), the pin file has the key's
    pin as ACTIVE, every probed server presents the key, and no chain of a server has a stolen or
    lost key. If the pin is that of an authority, a chain below it can have one.
    """
    entry = situation.entry(pin)
    is_active = entry is not None and entry.state == "active"
    unused = situation.served.isdisjoint(situation.compromised | situation.lost)
    return is_active and is_served_everywhere(situation, pin) and unused


def _serves_lost_authority(situation: Situation) -> bool:
    """Return True if the verified chain of a server has an authority with a lost key.

    The authority can issue no new certificate when that of the server expires.
    """
    return any(_is_authority(situation, pin) for pin in situation.served & situation.lost)


def _may_be_served(situation: Situation, pin: Pin) -> bool:
    """Return True if a server that did not answer may present the key.

    The pin file decides this:

    - A key with an entry may be presented, unless the entry has the role of a backup. When servers
      are allowed to use a backup, its entry gets a different role.
    - A key without an entry may be presented, unless clients compare only leaves (``match =
      "leaf"``): clients can accept its chain by the pin of an authority. The key of a root in the
      file of ``trust`` may always be in a chain.
    """
    entry = situation.entry(pin)
    if entry is None:
        return situation.policy.match != "leaf" or pin in anchor_pins(situation.policy)
    return entry.role != "backup"


def _steps(
    situation: Situation, pin: Pin, fact: Fact, choice: KeyCandidate | None, *, done: bool
) -> tuple[list[EmergencyStep], datetime | None]:
    """Return the emergency steps, and when the version without the key can be published.

    The steps are empty if nothing is left to do. The time is ``None`` if no such version has to be
    published.

    Args:
        situation: the facts about the host.
        pin: the pin of the stolen or lost key.
        fact: ``stolen`` or ``lost``.
        choice: the key that servers switch to; ``None`` if they need no other key.
        done: True if servers need no switch to ``choice``, because all of them use it already.
    """
    to = choice.pin if choice else None
    gone = {pin} | ({to} if to else set()) | _in_service(situation)
    steps: list[EmergencyStep] = []
    if to == NEXT_BACKUP:
        steps.append(EmergencyStep("start", NEXT_BACKUP))
    out = situation.now
    backup: list[EmergencyStep] = []
    if not has_backup_without(situation, gone):
        backup.append(EmergencyStep("start"))
    changed = bool(steps or backup) or _is_unpublished(situation, pin, fact)
    if choice and not done:
        if choice.publish_first or (choice.root and changed):
            # A version without a backup is refused, so the backup goes out with the new key.
            steps += [*_other_root(choice), *backup, EmergencyStep("publish")]
            backup, changed = [], False
        steps += _switch_steps(situation, pin, choice)
        # With another root, the version without the key goes out before the switch.
        out = max(out, choice.not_before or out) if choice.root is None else out
    marks = _root_marks(choice) if choice and not done else []
    steps += backup
    lost = _to_finish(situation, pin) if fact == "lost" else []
    steps += [EmergencyStep("finish", each, after_install=choice is not None) for each in lost]
    steps += marks
    changed = changed or bool(lost or marks)
    if changed:
        steps.append(EmergencyStep("publish", after_install=choice is not None))
    if fact == "stolen" and steps:
        steps.append(EmergencyStep("revoke", pin))
    return steps, out if changed else None


def _other_root(choice: KeyCandidate) -> list[EmergencyStep]:
    """Return the step that adds another root to the pin file; empty if none is needed.

    ``choice`` is the key that servers switch to, with the steps by which clients get another root.
    """
    return [EmergencyStep("trust")] if choice.root and choice.root.add else []


def _root_marks(choice: KeyCandidate) -> list[EmergencyStep]:
    """Return a step for each stolen root that the pin file can refuse only after the switch.

    The step (``mark``) marks the root as stolen in the pin file. ``choice`` is the key that servers
    switch to.
    """
    roots = choice.root.stolen if choice.root else ()
    return [EmergencyStep("mark", root, after_install=True) for root in roots]


def _switch_steps(situation: Situation, pin: Pin, choice: KeyCandidate) -> list[EmergencyStep]:
    """Return the steps by which servers get another key, or their key below another authority.

    Args:
        situation: the facts about the host.
        pin: the pin of the stolen or lost key.
        choice: the key that servers switch to.
    """
    to, root = choice.pin, choice.root
    steps = [EmergencyStep("end", version=each) for each in (root.unended if root else ())]
    is_leaf = situation.role_of(to) == "leaf"
    anchors, issuers = anchors_to_name(situation), issuers_to_name(situation)
    anchors = root.anchors if root else anchors
    if is_leaf and to.kind == "sha256":  # clients accept no new certificate for a certificate's pin
        steps.append(EmergencyStep("request", to, anchors=anchors, issuers=issuers))
    differs = bool(anchors or issuers or root)
    is_below = _is_authority(situation, pin) or _serves_lost_authority(situation)
    needs_chain = is_below or needs_new_chain(situation) or differs
    forced = choice.harm is not None
    chain = needs_chain and is_leaf
    switch = EmergencyStep("switch", to, choice.not_before, forced=forced, chain=chain)
    steps.append(replace(switch, unconfirmed=choice.unconfirmed))
    steps.append(EmergencyStep("install", to))
    return steps


def _refused_draft(situation: Situation) -> Violation | None:
    """Return a violation if the gate will refuse the draft, and no step of the path changes that.

    An edit of the pin file is the cause: its pins expire too early, it lacks an ACTIVE pin, or it
    trusts no anchor that clients trust. Violations of other rules end with the steps of the path.
    """
    number = situation.deployed.next_number(situation.pins)
    new = replace(situation, pins=replace(situation.pins, version=number)).published_now
    gone = situation.compromised | situation.lost
    dropped = [pin for pin in dropped_pins(situation) if pin not in gone]
    found = (
        expiry(situation, [new]),
        common_trust_kept(situation),
        *(not_active(situation, pin) for pin in dropped),
    )
    return next((each for each in found if each is not None), None)


def _is_unpublished(situation: Situation, pin: Pin, fact: Fact) -> bool:
    """Return True if a publish or push is needed before clients have the pin file's pins.

    A push is the upload of a signed version. The result is also True if ``fact`` is ``stolen``, and
    the latest version still accepts the pin ``pin``.
    """
    latest = situation.deployed.latest
    if latest is None or is_push_pending(situation):
        return True
    policies = situation.policies_of(latest)
    if fact == "stolen" and any(each and pin in each.live_pins for each in policies):
        return True
    return meaning(situation.pins) != meaning(latest.pins)


def _to_finish(situation: Situation, pin: Pin) -> list[Pin]:
    """Return the pins of lost keys that the user has to remove with the command ``finish``.

    They are the lost pins that the pin file still accepts. ``pin`` is the pin of the key that was
    just lost; it counts as lost, too.
    """
    lost = situation.lost | {pin}
    return [entry.pin for entry in situation.policy.pins if entry.pin in lost and entry.live]


def _in_service(situation: Situation) -> frozenset[Pin]:
    """Return the pins of keys that servers present or may present.

    If a server's chain was not verified, these include the pins that the pin file marks as active
    or retiring.
    """
    if situation.all_verified:
        return situation.served
    entries = situation.policy.pins
    may_be = frozenset(entry.pin for entry in entries if entry.in_service)
    return situation.served | may_be


def _spare(
    situation: Situation,
    choice: KeyCandidate | None,
    steps: Sequence[EmergencyStep],
    out: datetime | None,
) -> tuple[bool, datetime | None]:
    """Return whether a backup is missing after the path, and when every client accepts one.

    A backup is missing if some client refuses every usable key that servers don't use: if the key
    in use is stolen then, too, each way locks clients out.

    Args:
        situation: the facts about the host.
        choice: the key that servers switch to; ``None`` if they need no other key.
        steps: the steps of the path.
        out: when the version without the stolen or lost key can be published; ``None`` if no
            version is needed. A new backup is published in that version. But if ``choice`` or
            another root has to be published before the switch, the backup goes out with it, now.

    Returns:
        False and ``None`` if every client accepts a backup already, or if the policy needs none.
        Otherwise True, and the time; ``None`` if the time is unknown.
    """
    gone = _in_service(situation) | ({choice.pin} if choice else set())
    keys = sorted(situation.usable - gone - {NEXT_BACKUP}, key=str)
    starts = EmergencyStep("start") in steps
    if not starts and (has_backup_without(situation, situation.usable) or not situation.alive):
        return False, None  # none is needed; or it is unknown which keys clients accept
    is_first = out is None or (choice is not None and (choice.publish_first or choice.root))
    later = at_time(situation, situation.now if out is None or is_first else out)
    later = choice.root.then if choice and choice.root else later
    choices = [candidate_of(later, key) for key in keys]
    if starts:
        try:
            choices.append(
                candidate_of(with_published(with_staged(later, NEXT_BACKUP)), NEXT_BACKUP)
            )
        except ConfigError:
            return True, None
    best = min(choices, key=rank, default=None)
    if best is None or best.harm is not None:
        return True, None
    date = best.not_before or (choice.not_before if choice and choice.root else None)
    return date is not None, date


def _harm(
    situation: Situation, choice: KeyCandidate | None, lockout: Violation | None
) -> Violation | None:
    """Return the violation with the clients that even the path locks out; ``None`` if it is safe.

    Args:
        situation: the facts about the host.
        choice: the key that servers switch to; ``None`` if the path has no switch.
        lockout: the violation if clients are locked out already. Without a switch, the path doesn't
            let them in, and they stay locked out until they have a later version.
    """
    if choice is not None:
        return _expires_first(situation, choice) if choice.harm is None else choice.harm
    return lockout if lockout is not None else _unrecorded(situation)


def _expires_first(situation: Situation, choice: KeyCandidate) -> Violation | None:
    """Return a violation if a chain of a lost authority expires before clients have another root.

    ``choice`` is the key that servers switch to. A chain of a stolen root causes no violation,
    because its owner can renew it.
    """
    end = _chain_end(situation)
    if choice.root is None or end is None or choice.not_before is None or end > choice.not_before:
        return None
    return Violation(
        "certificate",
        f"a certificate of the present chain expires on {in_utc(end)}, before every client trusts "
        "another root",
        client_count(situation),
        fix="renew it with the present authority, if that can still issue",
    )


def _unrecorded(situation: Situation) -> Violation | None:
    """Return a violation if the journal lists no version that clients may hold; else ``None``.

    Without such a version, the safety rules (the gate) refuse every step, so no path can be
    recommended.
    """
    if situation.alive:
        return None
    (refusal, *_) = check_step(situation, "activate", NEXT_BACKUP)
    return refusal
