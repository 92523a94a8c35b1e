"""How clients get another root, if the only root that they trust is stolen or lost.

Clients with ``trust = FILE`` refuse the chains of every other root. If the key of their only root
is stolen, a chain of another root locks them out, and a version that marks the stolen key refuses
the chain that servers present. But an attacker with the root needs a key that clients accept, too.
If clients compare the keys of servers, and none of these is stolen, there is time for a safe order:

    put another root into `trust`, beside the stolen one, and publish
    wait until every client has that version
    let servers present a chain of the other root
    mark the stolen root, take it out of `trust`, and publish

If the root is lost, the first three steps have to be taken before the certificates of the servers
expire, because no authority that clients trust can issue the next ones.

The draft is the pin file that would be published next.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING

from certpin.errors import ConfigError
from certpin.rotation.deadlines import key_exposure
from certpin.rotation.fleet import client_count
from certpin.rotation.plan import at_time, with_published
from certpin.rotation.prospect import trust_digest
from certpin.rotation.rules import served_chain
from certpin.rotation.trust import anchor_pins, other_anchors, versions_below
from certpin.rotation.violation import Violation

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from certpin.pins import HostPolicy, Pin
    from certpin.rotation.situation import Situation


@dataclass(frozen=True)
class RootChange:
    """The steps until every client trusts a root that is neither stolen nor lost.

    Attributes:
        stolen: the pins of stolen roots beside which some clients trust no other.
        add: True if the draft has no other valid root yet.
        publish: True if a version with another root has to be published first.
        unended: the numbers of versions that end only when the user records it, such as those in
            binaries. Until then, servers must not leave the present root.
        date: when the last client of the other versions has another root, if the first steps are
            taken without delay; ``None`` if there are no other versions.
        then: the facts about the host when all clients have another root.
        anchors: the names of the other roots that all clients trust then; empty if ``add``.
    """

    stolen: tuple[Pin, ...]
    add: bool
    publish: bool
    unended: tuple[int, ...]
    date: datetime | None
    then: Situation
    anchors: tuple[str, ...]


def root_change(situation: Situation, used: AbstractSet[Pin]) -> RootChange | None:
    """Return the steps by which clients get another root before servers leave a stolen or lost one.

    Args:
        situation: the facts about the host, in which the journal has the theft or loss.
        used: the pins of stolen keys that servers use.

    Returns:
        The steps. ``None`` if there is no version with which clients trust only stolen and lost
        roots; if clients could accept a stolen key meanwhile, so that there is no time for these
        steps; or if the version with the other root would refuse the chain of a server. That the
        draft itself lets no attacker in is not checked here (``open_draft``).
    """
    gone = situation.compromised | situation.lost
    late = versions_below(situation, gone)
    if not late:
        return None
    add = bool(situation.policy.trust) and not other_anchors(situation, [situation.policy], gone)
    publish = add or not _is_out(situation)
    published = published_draft(situation) if publish else situation
    if published is None:
        return None
    ends = {each.number: published.deployed.end_of_life(each, situation.timing) for each in late}
    unended = tuple(sorted(number for number, end in ends.items() if end is None))
    date = max(filter(None, ends.values()), default=None)
    policies = chain.from_iterable(map(situation.policies_of, late))
    roots = frozenset(chain.from_iterable(map(anchor_pins, policies)))
    stolen = situation.compromised & (roots | used)
    if stolen and _is_exposed(situation, stolen, None if unended else date):
        return None
    kept = tuple(each for each in published.deployed.versions if each not in late)
    then = replace(published, deployed=replace(published.deployed, versions=kept))
    then = at_time(then, date) if date else then
    marks = tuple(sorted(stolen & roots, key=str))
    anchors = () if add else other_anchors(then, then.live_policies, gone)
    return RootChange(marks, add, publish, unended, date, then, anchors)


def open_draft(situation: Situation, change: RootChange) -> Violation | None:
    """Return a violation if the draft would let an attacker in before clients trust another root.

    The draft is the pin file that would be published next. Until all clients trust another root, it
    can't mark the stolen root, so that only its pins refuse an attacker. With ``mode = "report"``,
    or after an expiry with ``on_expiry``, they refuse no attacker.

    Args:
        situation: the facts about the host.
        change: the steps until clients trust another root (``root_change``).
    """
    until = None if change.unended else change.date
    if not change.stolen or not _opens(situation.policy, until):
        return None
    return Violation(
        "compromised",
        f"the pin file would let an attacker with the stolen root in at {situation.pattern}: its "
        "pins do not refuse until every client trusts another root",
        client_count(situation),
        fix='write mode = "enforce" and on_expiry = "fail-closed" into the pin file',
    )


def published_draft(situation: Situation) -> Situation | None:
    """Return the facts about the host after the draft (the pin file) was published now.

    Returns:
        ``None`` if the draft can't be published, or if it would refuse the chain of a server.
    """
    try:
        published = with_published(situation)
    except ConfigError:
        return None
    newest = published.deployed.latest
    if newest is None or served_chain(published, [newest]) is not None:
        return None
    return published


def marks_root_later(situation: Situation, pin: Pin) -> bool:
    """Return True if the draft (the pin file) must not mark a stolen root as compromised yet.

    Clients refuse each path through a marked key. A version with the mark would lock clients out of
    the servers, which can't leave the root before all clients trust another one.

    The result is False if a published version has the mark: it must not get lost. ``pin`` is that
    of the root.
    """
    versions = situation.deployed.versions
    policies = chain.from_iterable(map(situation.policies_of, versions))
    if any(policy and pin in policy.compromised for policy in policies):
        return False
    change = root_change(situation, frozenset())
    # The root can be pinned by its certificate (cert-sha256), too.
    return change is not None and pin in situation.same_keys(frozenset(change.stolen))


def _is_out(situation: Situation) -> bool:
    """Return True if clients can get the trust anchors of the draft (the pin file) already.

    The latest version then has the same anchors, and is in a binary or can be fetched. Otherwise
    the steps to another root begin with publishing the draft.
    """
    latest = situation.deployed.latest
    if latest is None or latest.pending:
        return False
    ours = trust_digest(situation.policy)
    return all(trust_digest(each) == ours for each in situation.policies_of(latest))


def _is_exposed(situation: Situation, stolen: AbstractSet[Pin], until: datetime | None) -> bool:
    """Return True if some client may accept a stolen key before a time, or the draft accepts it.

    Args:
        situation: the facts about the host.
        stolen: the pins of the stolen keys.
        until: the time; ``None`` if it is unknown.
    """
    if any(key_exposure(situation, pin).stages for pin in stolen):
        return True
    if not stolen.isdisjoint(situation.policy.live_pins):
        return True
    return any(_opens(policy, until) for policy in situation.held_policies)


def _opens(policy: HostPolicy | None, until: datetime | None) -> bool:
    """Return True if, at some time before ``until``, pins don't keep an attacker out.

    That is so in mode ``report``, and if the pins expire and clients connect nevertheless.
    ``policy`` is the policy of the clients for the host; ``None`` if they have none. ``until`` is
    ``None`` if that time is unknown.
    """
    if policy is None:
        return False  # they don't trust the stolen root at this host
    if policy.mode == "report":
        return True
    if policy.expires is None or policy.on_expiry == "fail-closed":
        return False
    return until is None or policy.expires < until
