"""The safety rules of a rotation about versions and pins.

Each rule is a function that returns its violation, or ``None`` if the situation (the facts about a
host) keeps the rule. The gate (``certpin.rotation.gate``) decides which rules a step must keep, and
has the rules about time and servers. The draft is the pin file that would be published next.
"""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from certpin.errors import ConfigError
from certpin.pins import pins_of
from certpin.pins.verdict import missing_scts, scts_fix, verify
from certpin.rotation.faults import chain_fault
from certpin.rotation.fleet import client_count, clients_at_risk, deployed_sizes
from certpin.rotation.prospect import (
    conclude,
    conclusion_of_version,
    conclusions_by_version,
    known_authorities,
    lacks_path,
    refusal,
    scts_refusal,
    stolen_authorities,
    trusts_differ,
    with_private_anchors,
)
from certpin.rotation.remedies import (
    backup_fix,
    host_option,
    how_to_adopt,
    how_to_adopt_backup,
    how_to_trust,
)
from certpin.rotation.situation import Version, adoption, last_end
from certpin.rotation.trust import (
    chain_of_sighting,
    common_anchors,
    is_refused,
    is_same_chain_verified,
    is_verified_by_some,
)
from certpin.rotation.violation import Violation
from certpin.support.text import format_duration, in_utc

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from certpin.pins import HostPattern, HostPolicy, Pin, PinSet, State, Verdict
    from certpin.rotation.prospect import Prospect
    from certpin.rotation.situation import DeployedVersions, Sighting, Situation
    from certpin.rotation.violation import Invariant


# Rules about versions: those that are alive, or the draft that is about to be published.


def served_chain(situation: Situation, versions: Sequence[Version]) -> Violation | None:
    """Return a violation unless all given versions accept the chain of every probed server.

    For each version, the path to an anchor that the version trusts is checked; a chain without such
    a path is refused. Expired pins are not considered: the rule ``expiry`` covers them.
    """
    by = [(version, policy) for version in versions for policy in situation.policies_of(version)]
    for sighting in situation.sightings:
        paths = [chain_of_sighting(situation, sighting, policy) for _, policy in by]
        found = [
            (version, path, verdict)
            for (version, policy), path in zip(by, paths, strict=True)
            if (verdict := refusal(path, situation.in_force(policy), situation.now)) is not None
        ]
        refusing = list(dict.fromkeys(version for version, _, _ in found))
        if found and all(verdict.reason == "too-few-scts" for _, _, verdict in found):
            _, _, verdict = found[0]
            return _too_few_scts(situation, "served-chain", sighting.vantage, refusing, verdict)
        unverified = list(dict.fromkeys(version for version, path, _ in found if path is None))
        if unverified:
            return _unverified_chain(situation, sighting, unverified, refusing)
        if found:
            return Violation(
                "served-chain",
                f"{sighting.vantage} serves a key that {version_list(refusing)} {_verb(refusing)}",
                _count(situation, refusing),
                safe_from=_end(situation, refusing),
                fix="let that server use a key that every version alive accepts",
            )
    return None


def _refuses_served(situation: Situation, version: Version) -> bool:
    """Return True if clients with ``version`` refuse a served chain, as in ``served_chain``.

    This function is faster than ``served_chain``, because it makes no texts.
    """
    return any(
        is_refused(situation, sighting, policy)
        for policy in situation.policies_of(version)
        for sighting in situation.sightings
    )


def _is_unaffected(situation: Situation, version: Version, prospects: Sequence[Prospect]) -> bool:
    """Return True if a new chain locks out no client with ``version``.

    Clients with a slow clock have to refuse every chain that servers present now. If those with the
    right time apply the policy in a different way, because its pins have expired or its list of CT
    logs is too old (``Situation.in_force``), they have to accept the new chain, ``prospects``.
    """
    return all(
        all(is_refused(situation, sighting, policy) for sighting in situation.sightings)
        and (
            situation.in_force(policy) is policy
            or conclude(prospects, [policy], situation.now) == "accepted"
        )
        for policy in filter(None, situation.policies_of(version))
    )


def _unverified_chain(
    situation: Situation,
    sighting: Sighting,
    unverified: Sequence[Version],
    refusing: Sequence[Version],
) -> Violation:
    """Return the violation for versions with which clients can't verify the chain of a server.

    Args:
        situation: the facts about the host.
        sighting: the result of probing the server.
        unverified: the versions with which clients can't verify the chain.
        refusing: the versions that refuse the chain: those of ``unverified``, and those with which
            clients verify the chain and refuse its keys.
    """
    verifies = is_verified_by_some(situation, sighting)
    anchors = f"that verifies with the trust anchors of {version_list(unverified)}, which"
    what = anchors if verifies else f"that verifies, so {version_list(unverified)}"
    others = [version for version in refusing if version not in unverified]
    also = f", and a key that {version_list(others)} {_verb(others)}" if others else ""
    return Violation(
        "served-chain",
        f"{sighting.vantage} serves no chain {what} {_verb(unverified)} it{also}",
        _count(situation, refusing),
        safe_from=_end(situation, refusing) if verifies else None,
        fix="let that server present a chain to a trust anchor that every version alive has"
        + (", with a key that every version alive accepts" if others else "")
        + (", and keep that anchor in the file of `trust`" if verifies else ""),
    )


def _too_few_scts(
    situation: Situation,
    invariant: Invariant,
    what: str,
    refusing: Sequence[Version],
    verdict: Verdict,
) -> Violation:
    """Return the violation for versions that refuse a certificate because it has too few SCTs.

    SCTs are promises of Certificate Transparency logs.

    Args:
        situation: the facts about the host.
        invariant: the rule that is violated.
        what: the server, or the pin of the key, as text.
        refusing: the versions of the pin set that refuse the certificate.
        verdict: the verdict of ``pins.verify``, with the SCTs that it found.
    """
    return Violation(
        invariant,
        f"{what} has a certificate that {version_list(refusing)} {_verb(refusing)}, by require_ct: "
        f"{missing_scts(verdict)}",
        _count(situation, refusing),
        safe_from=_end(situation, refusing),
        fix=scts_fix(verdict),
    )


def backup(situation: Situation) -> Violation | None:
    """Return a violation unless the pin file has two usable pins, one outside the served chains.

    A pin is usable if clients accept it, and its key was neither lost nor stolen. There is no
    violation for a policy that doesn't enforce pins, or that pins two roots of one provider (CA):
    each of these roots is a backup of the other.
    """
    if situation.policy.mode != "enforce" or situation.policy.is_own_backup:
        return None
    usable = situation.usable
    if len(usable) >= 2 and usable - situation.served:
        return None
    return Violation(
        "backup",
        _why_no_backup(situation),
        client_count(situation),
        fix=f"make a backup: {backup_fix(situation)}",
    )


def _why_no_backup(situation: Situation) -> str:
    usable = situation.usable
    if not usable:
        return "every pin is lost or compromised: no server can use a key that clients accept"
    if len(usable) == 1:
        return (
            "only one pin is of a key that is not lost or compromised: if that key is lost, "
            "clients are locked out"
        )
    whose = "that is not lost " if usable < situation.policy.live_pins.keys() else ""
    return (
        f"every pin {whose}is in the chain that is served: if its key is lost, clients are locked "
        "out"
    )


def has_backup_without(situation: Situation, gone: AbstractSet[Pin]) -> bool:
    """Return True if the pin file has a backup besides the pins in ``gone``, or needs no backup.

    The rule ``backup`` is about the present. This function is about a later time, at which servers
    use the pins in ``gone``, or the keys of these pins no longer exist. A policy with two usable
    roots of one provider (CA) needs no other backup.
    """
    policy = situation.policy
    is_own_backup = policy.is_own_backup_without(situation.lost | situation.compromised)
    return policy.mode != "enforce" or is_own_backup or bool(situation.usable - gone)


def version_rises(situation: Situation) -> Violation | None:
    """Return a violation unless the pin file's version is higher than every published version."""
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

    ``situation`` has the facts about the host, and ``versions`` are the versions to check. Only
    policies with ``on_expiry = "fail-closed"`` are checked: with the other values, clients don't
    refuse a server because of expired pins.
    """
    for version in versions:
        policies = filter(None, situation.policies_of(version))
        end = min(filter(None, (policy.refuses_from for policy in policies)), default=None)
        if end is not None and not _expires_late_enough(situation, version, end):
            return Violation(
                "expiry",
                f"the pins of version {version.number} expire on {in_utc(end)}, "
                "before every client that holds it can have the next",
                _count(situation, [version], end),
                fix=_how_to_extend(situation, version, end),
            )
    return None


def _how_to_extend(situation: Situation, version: Version, end: datetime) -> str:
    """Return the fix for the pins of a version that expire too early, at the time ``end``."""
    if advice := remaining_advice(situation, version, end):
        return advice
    if version.gets_updates:
        adopt = format_duration(situation.timing.adopt)
        return f"publish a version with an `expires` further away than T_adopt ({adopt})"
    if version not in situation.deployed.versions:
        last = situation.deployed.end_of_life(version, situation.timing)
        date = f"not before the end of the release ({in_utc(last)})" if last else "later"
        return f"write another `expires` into the pin file, {date}: no version replaces its pins"
    number = situation.deployed.next_number(situation.pins)
    app = next((shlex.quote(each.app) for each in version.releases if each.app), "NAME")
    return (
        "only a release of the app replaces pins in a binary: ship one with a later `expires`, and "
        f"a forced update to it before {in_utc(end, down=True)} (certpin rotate shipped {number} "
        f"--app {app} --release RELEASE --force-update DATE)"
    )


def remaining_advice(situation: Situation, version: Version, end: datetime) -> str:
    """Return the advice about pins that expire too early, if a version with later ones is out.

    Args:
        situation: the facts about the host.
        version: the version with pins that expire too early.
        end: the time at which they expire.

    Returns:
        The advice, without a full stop. Empty if the latest version does not reach these clients,
        or if its pins expire too early, too.
    """
    latest = situation.deployed.latest
    if latest is None:
        return ""
    if not version.gets_updates:
        return _how_to_force(situation, latest, version, end)
    if not _extends(situation, latest, version):
        return ""
    return (
        f"nothing more can be done: version {latest.number} is out, and its pins do not expire "
        "so early. Clients that get it too late accept the servers again when they have it"
    )


def _how_to_force(situation: Situation, latest: Version, version: Version, end: datetime) -> str:
    """Return advice to force users to a release with the latest version, if it has later pins.

    Args:
        situation: the facts about the host.
        latest: the latest version.
        version: an older version, which an app has in its binary and does not replace itself.
        end: the time at which the pins of ``version`` expire.

    Returns:
        The advice, without a full stop. Empty unless each app with ``version`` has a later release
        with the latest version, and the pins of that one expire late enough.
    """
    newer = {each.app: each for each in latest.releases if each.app}
    apps = {each.app for each in version.releases}
    if latest.number <= version.number or not apps or not apps <= newer.keys():
        return ""
    if expiry(situation, [latest]) is not None:
        return ""
    out = f"version {latest.number} is out, and its pins do not expire so early"
    optional = [
        each
        for each in (newer[app] for app in sorted(apps))
        if each.forced is None or situation.now < end < each.forced
    ]
    if not optional:
        return (
            f"nothing more can be done: {out}, and users have to update to it. Clients that do so "
            "too late accept the servers again when they have it"
        )
    before = f" before {in_utc(end, down=True)}" if end > situation.now else ""
    commands = " and ".join(
        f"certpin rotate shipped {latest.number} --app {shlex.quote(each.app)} --release "
        f"{shlex.quote(each.name)} --force-update DATE"
        for each in optional
    )
    return f"{out}: force users to update to it{before}, and record the date: {commands}"


def _extends(situation: Situation, latest: Version, version: Version) -> bool:
    """Return True if clients with a version fetch the latest one, and its pins expire late enough.

    Args:
        situation: the facts about the host.
        latest: the latest version.
        version: the version with pins that expire too early.
    """
    is_out = latest.fetched is not None and not latest.pending and latest.number > version.number
    return is_out and expiry(situation, [latest]) is None


# Rules about one pin, and the chains that servers may present with its key.


def valid_certificates(situation: Situation, prospects: Sequence[Prospect]) -> Violation | None:
    """Return a violation if clients refuse the certificates of a chain, whatever keys are pinned.

    For example, a certificate on the path to an anchor has expired, or is an intermediate that is
    not allowed to issue certificates. Only chains with the certificates that a server sends
    (``Prospect.sent``) are checked.

    Args:
        situation: the facts about the host before the server presents the chain.
        prospects: the chains that the server may present, as far as they are known.
    """
    for policy in situation.held_policies or [situation.policy]:
        for prospect in filter(lambda each: each.sent, prospects):
            fault = chain_fault(prospect, policy, situation.now)
            if fault is not None:
                return Violation(
                    "certificate",
                    fault.problem,
                    client_count(situation),
                    safe_from=fault.valid_from,
                    fix=fault.fix,
                )
    return None


def adopted(
    situation: Situation, pin: Pin, prospects: Sequence[Prospect], *, renews: bool = False
) -> Violation | None:
    """Return a violation unless every version alive accepts each chain that may be presented.

    A version of the pin set is alive if some client may hold it.

    Args:
        situation: the facts about the host before a server presents the chain.
        pin: the pin of the key that the server begins to use.
        prospects: the chains that the server may present, as far as they are known.
        renews: True if every server presents the key already. Versions with which clients refuse
            all of these chains then don't count, unless the draft (the next version) refuses the
            new chain, too.
    """
    alive = situation.alive
    prospects = with_private_anchors(situation, prospects)
    by = conclusions_by_version(situation, prospects)
    if renews and conclusion_of_version(situation, Version(situation.pins), prospects) != "refused":
        by = [each for each in by if not _is_unaffected(situation, each[0], prospects)]
    refusing = [version for version, conclusion in by if conclusion == "refused"]
    undecided = [version for version, conclusion in by if conclusion == "open"]
    if alive and not refusing and not undecided:
        return None
    if undecided and not refusing:
        return _open_chain(situation, pin, undecided)
    verdict = scts_refusal(situation, refusing, prospects)
    if verdict is not None:
        return _too_few_scts(situation, "adopted", str(pin), refusing, verdict)
    if refusing and lacks_path(situation, refusing, prospects):
        return Violation(
            "adopted",
            f"{version_list(refusing)} can build no path from the chain to the anchors that "
            f"{'it trusts' if len(set(refusing)) == 1 else 'they trust'}",
            clients_at_risk(situation, refusing),
            safe_from=last_end(situation, refusing) if not undecided else None,
            fix=how_to_trust(situation, refusing, prospects),
        )
    return Violation(
        "adopted",
        f"{pin} is not adopted: {_why_not_adopted(situation, refusing)}",
        clients_at_risk(situation, refusing) if refusing else None,
        safe_from=last_end(situation, refusing) if refusing and not undecided else None,
        fix=how_to_adopt(situation, pin, refusing, prospects),
    )


def refused_by_version(
    situation: Situation,
    policies: Sequence[tuple[Version, HostPolicy]],
    name: str,
    prospects: Sequence[Prospect],
) -> Violation | None:
    """Return a violation if clients may refuse a chain at a host that the pin file has no more.

    The draft (the pin file) has no policy for this host any more, but versions that clients still
    hold have one. The certificate of the chain names the host, so a server may present the chain
    there.

    Args:
        situation: the facts about another host that the certificate names, and that the draft has.
        policies: the versions that some client may hold, each with its policy for the removed host.
        name: the name of the removed host in the certificate.
        prospects: the chains that a server may present, as far as they are known.
    """
    prospects = with_private_anchors(situation, prospects)
    refusing = [
        version
        for version, policy in policies
        if conclude(prospects, [situation.in_force(policy)], situation.now) != "accepted"
        or any(chain_fault(each, policy, situation.now) for each in prospects)
    ]
    if not refusing:
        return None
    return Violation(
        "adopted",
        f"{version_list(refusing)} may refuse the chain for {name}, which the draft doesn't have",
        clients_at_risk(situation, refusing),
        safe_from=last_end(situation, refusing),
        fix=f"keep {name} in the pin file until these versions have ended, or use a certificate "
        "without it",
    )


def _open_chain(situation: Situation, pin: Pin, undecided: Sequence[Version]) -> Violation:
    policies = [each for version in undecided for each in situation.policies_of(version) if each]
    stolen = [pin for each in policies for pin in stolen_authorities(each, each.compromised)]
    if trusts_differ(situation.held_policies):
        why = "the versions trust different anchors, and it is unknown who certifies this key"
    elif stolen:
        why = f"they refuse it below {stolen[0]}, which is COMPROMISED, and may be an authority's"
    else:
        why = (
            "clients compare the authorities above this key, or require SCTs (require_ct), which "
            "are for the key of its issuer, and not all of them are known"
        )
    return Violation(
        "open-chain",
        f"it is open whether {version_list(undecided)} will accept a chain with {pin}: {why}",
        clients_at_risk(situation, undecided),
        safe_from=last_end(situation, undecided),
        fix="name the file of the chain that the server will present, such as fullchain.pem",
    )


def not_active(situation: Situation, pin: Pin) -> Violation | None:
    """Return a violation if the pin is ACTIVE: servers may use its key, so it can't be removed.

    If the pin file has the pin as COMPROMISED, that is no violation: such a pin has to be removed.
    """
    entry = situation.entry(pin)
    if entry is not None and entry.state == "compromised":
        return None
    state = entry.state if entry and entry.live else situation.past.states.get(pin)
    if state != "active":
        return None
    back = "" if entry else "put its entry back into the pin file (git checkout). "
    if entry is not None and not entry.live:
        back = 'give its entry state = "active" again. '
    return Violation(
        "active-pin",
        f"{pin} is ACTIVE: servers may use its key",
        client_count(situation),
        fix=f"{back}certpin rotate finish {f'{pin} ' if back else ''}takes it out when no server "
        "uses it",
    )


def not_served(situation: Situation, pin: Pin) -> Violation | None:
    """Return a violation if a probed server uses the key: then it must not be retired.

    The key of an authority may be retired while servers present it, if clients accept the verified
    paths without its pin: such as by the pin of the server's own key. This is not so for a stolen
    key, because clients will refuse each path with it.
    """
    served = [seen for seen in situation.sightings if seen.chain and pin in seen.pins]
    refused = [seen for seen in served if _needs_pin(situation, seen, pin)]
    own = [seen for seen in served if seen.chain and pin in pins_of(seen.chain.leaf)]
    if not refused and not own:
        return None
    names = ", ".join(seen.vantage for seen in refused or own)
    effect = "a client without it would be locked out there"
    return Violation(
        "still-served",
        f"{pin} is served by {names}: {effect if refused else 'a removed key is not used again'}",
        client_count(situation),
        fix="let every server use another key first: certpin rotate switch checks it",
    )


def _needs_pin(situation: Situation, sighting: Sighting, pin: Pin) -> bool:
    """Return True if clients would refuse or report the verified path of a server without a pin.

    The clients are those with the draft (the pin file). The expiry of the draft is ignored, because
    the next version can expire later. The result is also True for a stolen key, and if the policy
    would have too few pins. ``situation`` has the facts about the host, and ``sighting`` is the
    result of probing the server.
    """
    if pin in situation.compromised:
        return True
    pins = tuple(entry for entry in situation.policy.pins if entry.pin != pin)
    try:
        policy = replace(situation.policy, pins=pins, expires=None)
    except ConfigError:
        return True
    verdict = verify(sighting.chain, policy, situation.now, pins_only=True)
    return verdict.decision != "accept"


def not_last_backup(situation: Situation, pin: Pin) -> Violation | None:
    """Return a violation if the pin is the last usable one outside the served chains.

    The next rotation needs a usable pin that no server presents. The pin of a lost key is not
    usable.
    """
    others = situation.usable - situation.served - {pin}
    if situation.policy.is_own_backup_without({pin}):
        return None
    if situation.policy.mode != "enforce" or pin not in situation.usable:
        return None
    if others:
        return adopted_backup_kept(situation, pin)
    return Violation(
        "last-backup",
        f"{pin} is the last pin outside the chain that is served",
        client_count(situation),
        fix=f"make another first: {backup_fix(situation)}",
    )


def adopted_backup_kept(situation: Situation, pin: Pin) -> Violation | None:
    """Return a violation if servers could no longer switch at once after the removal of a pin.

    If the key in use is stolen, servers need another key that every client accepts. The pin of the
    only such key stays until every client accepts another one. This holds for a backup, and for a
    key that a rotation has replaced: servers can go back to it. The pins of stolen or lost keys
    cause no violation.
    """
    if situation.policy.mode != "enforce" or situation.policy.is_own_backup_without({pin}):
        return None
    if pin in situation.compromised | situation.lost or not adoption(situation, pin).adopted:
        return None
    found = [adoption(situation, other) for other in situation.usable - situation.served - {pin}]
    if not found or any(each.adopted for each in found):
        return None
    first = min(found, key=lambda each: (each.moment is None, each.moment or situation.now))
    is_edited = pin not in situation.policy.live_pins
    back = "put its entry back into the pin file (git checkout); then " if is_edited else ""
    return Violation(
        "last-backup",
        f"{pin} is the only key outside the served chain that every client accepts: servers need "
        "it if their key is stolen",
        client_count(situation),
        safe_from=first.moment,
        fix=back + how_to_adopt_backup(situation, first),
    )


def not_the_way_back(situation: Situation, pin: Pin) -> Violation | None:
    """Return a violation if clients are locked out, and the key of this pin would let them in.

    Clients are locked out if a version that some client may hold refuses the chain that a server
    presents. The key lets them in if the same version accepts it: the server may have to return to
    it. So its pin must not be removed, because clients with the next version would then refuse the
    key. The pin of a stolen or lost key causes no violation.
    """
    if pin in situation.compromised or pin in situation.lost:
        return None
    needed = [
        version
        for version in situation.alive
        if situation.is_accepted_by(version, pin) and _refuses_served(situation, version)
    ]
    if not needed:
        return None
    end = last_end(situation, needed)
    others = [each.number for each in needed if not situation.deployed.is_fetched_now(each)]
    ended = ""
    if others and end is None:
        ended = f"; or, if no client has it any more: certpin rotate shipped {min(others)} --ended"
    return Violation(
        "served-chain",
        f"{version_list(needed)} {_verb(needed)} the chain that a server presents, and "
        f"{_verb(needed, 'accept')} {pin}: servers may have to go back to it",
        _count(situation, needed),
        safe_from=end,
        fix="let the servers present a chain that every version alive accepts (certpin rotate "
        f"status names a key){ended}",
    )


_ASK_SERVERS = (
    "or, if a server presents a chain that all clients verify, as of a cross-signed root, leave "
    "out --offline"
)


def common_trust_kept(situation: Situation) -> Violation | None:
    """Return a violation if the draft has none of the anchors that all living versions trust.

    The draft is the pin file that would be published next. No certificate could then be accepted by
    all clients: the servers could not renew theirs without a lock-out. Clients verify the anchors
    in each mode.

    There is no violation if a server presents a chain that all of them verify, such as one with a
    cross-signed root. Only policies with a file of ``trust`` are compared, because the roots of
    platforms are unknown. Anchors that have expired, or with a stolen key, don't count.
    """
    held = [each for each in situation.held_policies if each and each.trust]
    if situation.policy.trust is None or not trusts_differ([situation.policy, *held]):
        return None
    common = common_anchors(situation, held)
    if not common:
        return None
    if is_same_chain_verified(situation, [situation.policy, *held]):
        return None
    by = [
        (version, [each for each in situation.policies_of(version) if each and each.trust])
        for version in situation.alive
    ]
    apart = [
        version
        for version, own in by
        if own and not common_anchors(situation, [situation.policy, *own])
    ] or [version for version, own in by if own]
    end = last_end(situation, apart)
    until = " until then" if end else ""
    seen = "" if situation.sightings else f"; {_ASK_SERVERS}"
    return Violation(
        "served-chain",
        f"the pin file trusts none of the anchors that {version_list(apart)} "
        f"{_verb(apart, 'trust')}: no certificate could be accepted by all clients",
        _count(situation, apart),
        safe_from=end,
        fix=f"keep {' or '.join(common)} in the file of `trust`{until}{seen}",
    )


def served_keys_known(situation: Situation, pin: Pin) -> Violation | None:
    """Return a violation if it is unknown whether a server still uses the key of this pin.

    It is unknown if no server was probed, or a probed server presented a chain that doesn't verify.
    """
    if situation.all_verified:
        return None
    if situation.sightings:
        names = ", ".join(each.vantage for each in situation.sightings if not each.chain)
        return Violation(
            "unseen",
            f"it is unknown whether {pin} is still served: the chain of {names} doesn't verify",
            client_count(situation),
            fix="repair the chain of that server first: certpin check names the fault",
        )
    return Violation(
        "unseen",
        f"it is unknown whether {pin} is still served",
        client_count(situation),
        fix="run it without --offline, or give the served chain: --served FILE",
    )


def not_compromised(situation: Situation, *pins: Pin) -> Violation | None:
    """Return a violation if the key of one of ``pins`` is recorded as compromised.

    The record is in the journal or the pin file. Such a key must never be used again.
    """
    compromised = situation.same_keys(situation.compromised)
    found = [pin for pin in pins if pin in compromised]
    if not found:
        return None
    return Violation(
        "compromised",
        f"{found[0]} is COMPROMISED: an attacker who has its key can read connections",
        client_count(situation),
        fix=f"start another: {backup_fix(situation, 'next.key')}",
    )


def stolen_key_left(situation: Situation, versions: Sequence[Version]) -> Violation | None:
    """Return a violation if a server uses a compromised key, and a given version accepts it.

    A version that marks the key refuses the chain, so ``served_chain`` returns the violation. But a
    version without the mark accepts it by the pin of an authority, or of the certificate. Only the
    keys of servers are compared, because the pin file may have to accept a stolen root until every
    client trusts another one.

    Args:
        situation: the facts about the host.
        versions: the versions of the pin set.
    """
    for seen in situation.sightings:
        pin = seen.leaf
        if pin is None or pin not in situation.compromised:
            continue
        accepting = [
            version
            for version in versions
            if any(_accepts(situation, seen, each) for each in situation.policies_of(version))
        ]
        if accepting:
            return Violation(
                "compromised",
                f"{seen.vantage} serves {pin}, which is COMPROMISED, and "
                f"{version_list(accepting)} {_verb(accepting, 'accept')} it: an attacker who has "
                "the key can read connections",
                _count(situation, accepting),
                fix=f"certpin rotate emergency {pin} --stolen{host_option(situation)} prints the "
                "way to another key",
            )
    return None


def _accepts(situation: Situation, sighting: Sighting, policy: HostPolicy | None) -> bool:
    """Return True if clients with a policy accept the chain of a server, and report no mismatch.

    The result is False for clients without a policy, and if they can verify no path. ``sighting``
    is the result of probing the server.
    """
    chain = chain_of_sighting(situation, sighting, policy)
    if chain is None or policy is None:
        return False
    by_clock = filter(None, (policy, situation.in_force(policy)))  # this clock, and a slow one
    verdicts = (verify(chain, each, situation.now, pins_only=True) for each in by_clock)
    return any(verdict.decision == "accept" for verdict in verdicts)


def not_under_compromised(situation: Situation, prospects: Sequence[Prospect]) -> Violation | None:
    """Return a violation if the key of an authority above the leaf of a chain was compromised.

    ``prospects`` are the chains that servers may present. Only authorities with known certificates
    are checked (``known_authorities``). Clients may still accept the chain with the versions that
    they hold, but will refuse it with the next version.
    """
    stolen = known_authorities(situation, prospects) & situation.compromised
    if not stolen:
        return None
    return Violation(
        "compromised",
        f"the chain has {min(map(str, stolen))}, which is COMPROMISED: an attacker who has the key "
        "of an authority can issue certificates",
        client_count(situation),
        fix="get the certificate from another authority",
    )


def not_removed(situation: Situation, *pins: Pin) -> Violation | None:
    """Return a violation if one of ``pins`` was removed: its key must not be used again."""
    removed = [pin for pin in pins if was_removed(situation, pin)]
    if not removed:
        return None
    mark = 'give it state = "removed" in the pin file again, and '
    return Violation(
        "compromised",
        f"{removed[0]} was removed, and a removed key is never used again",
        client_count(situation),
        fix=(mark if removed[0] in situation.policy.live_pins else "")
        + f"start another: {backup_fix(situation, 'next.key')}",
    )


def was_removed(situation: Situation, pin: Pin) -> bool:
    """Return True if a pin was removed, according to the journal or the pin file.

    The journal counts, too, because an edit or a merge can delete the pin's entry, or write a
    different state into it. But the user may pin an authority again, such as a root that the
    provider (CA) uses again.
    """
    entry = situation.entry(pin)
    if entry is not None and (entry.state == "removed" or entry.role in {"intermediate", "root"}):
        return entry.state == "removed"
    return situation.past.states.get(pin) == "removed"


def _has_state(situation: Situation, pin: Pin, state: State) -> bool:
    entry = situation.entry(pin)
    return entry is not None and entry.state == state


def not_lost(situation: Situation, *pins: Pin) -> Violation | None:
    """Return a violation if the key of one of ``pins`` is lost by the journal or the pin file.

    Even if such a key turns up again, it may have been copied meanwhile.
    """
    keys = situation.same_keys(situation.lost)
    lost = [pin for pin in pins if pin in keys or _has_state(situation, pin, "lost")]
    if not lost:
        return None
    return Violation(
        "lost",
        f"{lost[0]} is LOST: its key no longer exists, and one that turns up may have been copied",
        client_count(situation),
        fix=f"start another: {backup_fix(situation, 'next.key')}",
    )


def not_from_one_vantage(situation: Situation, pin: Pin) -> Violation | None:
    """Return a violation if the only source of a pin is the unverified chain of one server.

    An attacker may have presented that chain.
    """
    showing = [each.vantage for each in situation.sightings if pin in each.unverified]
    out = any(pin in _live_pins(situation, version) for version in situation.deployed.versions)
    if len(showing) != 1 or out or pin in situation.served | situation.past.known:
        return None
    return Violation(
        "vantage",
        f"{pin} was only seen at {showing[0]}, in a chain that did not verify: "
        "it may be an attacker's",
        client_count(situation),
        fix="take it from the server's own file: certpin rotate start with that file",
    )


def dropped_pins(situation: Situation) -> tuple[Pin, ...]:
    """Return the pins that clients with the latest version accept, and with the draft no longer.

    The draft is the pin file that would be published next.
    """
    latest = situation.deployed.latest
    before = situation.policies_of(latest) if latest else ()
    accepted = dict.fromkeys(pin for policy in before if policy for pin in policy.live_pins)
    return tuple(pin for pin in accepted if pin not in situation.policy.live_pins)


def hosts_kept(deployed: DeployedVersions, draft: PinSet) -> list[tuple[HostPattern, Violation]]:
    """Return a violation for each host of the latest version for which the draft has no policy.

    A merge or an edit can have removed the host by mistake. A strict client refuses a host without
    a policy, in each mode, and any other client connects to it without pins. There is no violation
    if another pattern of the draft covers the host.

    Args:
        deployed: the published versions. Versions with a higher number than the draft are ignored:
            an app can be released with an old version.
        draft: the pin set that clients would get.

    Returns:
        The host patterns, each with its violation.
    """
    lower = [each for each in deployed.versions if each.number < draft.version]
    latest = max(lower, key=lambda version: version.number, default=None)
    if latest is None:
        return []
    by = {
        each.pattern: draft.policies_at(each.pattern, latest.pins) for each in latest.pins.policies
    }
    return [
        (
            pattern,
            Violation(
                "dropped-host",
                f"version {latest.number} has a policy for it, and the pin file has none"
                f"{' for some of its hosts' if len(covering) > 1 else ''}: strict clients (the "
                "default) refuse a host without a policy, and others connect to it without pins",
                deployed_sizes(deployed).total,
                fix="put its [[host]] back; if no client connects to it any more, repeat it with "
                "--force --reason TEXT",
            ),
        )
        for pattern, covering in by.items()
        if None in covering
    ]


def _count(
    situation: Situation, versions: Sequence[Version], at: datetime | None = None
) -> int | None:
    """Return the number of clients that hold some versions of the pin set; ``None`` if unknown.

    Args:
        situation: the facts about the host.
        versions: the versions. If one of them is not published yet, all clients are counted.
        at: the time at which clients hold the versions; ``None``, or a past time, for now.
    """
    if not _are_published(situation, versions):
        return client_count(situation)
    return clients_at_risk(situation, versions, max(situation.now, at or situation.now))


def _end(situation: Situation, versions: Sequence[Version]) -> datetime | None:
    """Return the first time at which no client holds some versions of the pin set.

    ``None`` if that is unknown, or if one of ``versions`` is not published yet: no wait makes it
    safe, because its clients have it only from its publication on.
    """
    return last_end(situation, versions) if _are_published(situation, versions) else None


def _are_published(situation: Situation, versions: Sequence[Version]) -> bool:
    return all(version in situation.deployed.versions for version in versions)


def version_list(versions: Sequence[Version]) -> str:
    """Return the numbers of versions as text: ``version 3``, ``versions 3 and 4``."""
    return number_list(version.number for version in versions)


def number_list(versions: Iterable[int]) -> str:
    """Return version numbers as text: ``version 3``, ``versions 3 and 4``."""
    numbers = [str(number) for number in sorted(set(versions))]
    if len(numbers) == 1:
        return f"version {numbers[0]}"
    return f"versions {', '.join(numbers[:-1])} and {numbers[-1]}"


def _verb(versions: Sequence[Version], verb: str = "refuse") -> str:
    """Return a verb that agrees with ``version_list(versions)``, such as ``refuses`` or ``refuse``.

    ``verb`` is the plural form.
    """
    return f"{verb}s" if len({version.number for version in versions}) == 1 else verb


def _expires_late_enough(situation: Situation, version: Version, end: datetime) -> bool:
    last = situation.deployed.end_of_life(version, situation.timing)
    has_time = end - situation.now > situation.timing.adopt  # to get the next version
    if last is None:
        return has_time
    fetches = version.bundled is not None and version.gets_updates
    return end >= last or (fetches and has_time)


def _live_pins(situation: Situation, version: Version) -> frozenset[Pin]:
    policies = filter(None, situation.policies_of(version))
    return frozenset(pin for policy in policies for pin in policy.live_pins)


def _why_not_adopted(situation: Situation, refusing: Sequence[Version]) -> str:
    if refusing:
        names = version_list(refusing)
        said = f"{names} does not accept it" if "versions" not in names else f"{names} do not"
        return said + _overdue_note(situation, refusing) + _slow_clock_note(situation, refusing)
    if not situation.deployed.versions:
        return "no published version is recorded"
    return "no version is alive"


def _overdue_note(situation: Situation, refusing: Sequence[Version]) -> str:
    """Return a note for a violation's message: versions are used for longer than expected.

    The note says that clients reported some of the versions in ``refusing`` (those that refuse the
    chain) after their expected end. It is empty if there are no such reports.
    """
    deployed, timing = situation.deployed, situation.timing
    late = [
        version
        for version in refusing
        if version.last_reported and deployed.is_overdue(version, timing)
    ]
    if not late:
        return ""
    last = max(version.last_reported for version in late if version.last_reported)
    return f", and clients reported {version_list(late)} as late as {last:%Y-%m-%d}"


def _slow_clock_note(situation: Situation, refusing: Sequence[Version]) -> str:
    """Return a note for a violation's message: only clients with slow clocks compare the pins.

    The note is empty unless pins of a version in ``refusing`` (those that refuse the chain) expired
    within the delay ``skew``.
    """
    policies = [policy for version in refusing for policy in situation.policies_of(version)]
    recent = [
        policy.expires
        for policy in policies
        if policy and policy.expires and situation.slowest_clock < policy.expires <= situation.now
    ]
    if not recent:
        return ""
    until = in_utc(max(recent) + situation.timing.skew)
    return f", and clients with a slow clock compare its expired pins until {until}"
