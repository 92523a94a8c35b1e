"""The gate: the safety rules that allow or refuse a step of a rotation.

``check_step`` applies the safety rules of a step to a situation (the facts about one host), before
the step is taken. It returns one violation for each rule that the step would break; an empty tuple
means that the step is safe. ``check_now`` applies the rules that must hold at every moment. The
draft is the pin file that would be published next.

The rules about pins and versions are in ``rules``. This module has the rules about the evidence
that every step needs: the time, and the servers of the host.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from certpin.probe import HTTPS, Endpoint, endpoint_at, served_at, split_address
from certpin.rotation.fleet import client_count
from certpin.rotation.journal import Event, pin_state
from certpin.rotation.prospect import issued_pins, prospects_of_key
from certpin.rotation.remedies import SET_CLOCK, how_to_confirm_time
from certpin.rotation.rules import (
    adopted,
    adopted_backup_kept,
    backup,
    common_trust_kept,
    dropped_pins,
    expiry,
    not_active,
    not_compromised,
    not_from_one_vantage,
    not_last_backup,
    not_lost,
    not_removed,
    not_served,
    not_the_way_back,
    not_under_compromised,
    served_chain,
    served_keys_known,
    stolen_key_left,
    valid_certificates,
    version_list,
    version_rises,
)
from certpin.rotation.situation import (
    CLOCK_TOLERANCE,
    ServerObservation,
    TimeEvidence,
    Version,
    server_name,
)
from certpin.rotation.violation import Violation
from certpin.support.text import format_duration, in_utc, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from certpin.pins import HostPolicy, Pin, PinSet, State
    from certpin.rotation.prospect import Prospect
    from certpin.rotation.situation import ServerDate, Sighting, Situation

GatedStep = Literal["stage", "publish", "activate", "serve", "retire", "remove"]
# The step's command ``certpin rotate NAME``. ``publish`` has none here: a version is signed and
# pushed, or recorded with ``rotate shipped``. ``rotate finish`` retires a key, and given again it
# removes its pin.
COMMAND_OF_STEP: Mapping[str, str] = MappingProxyType(
    {
        "stage": "start",
        "activate": "switch",
        "serve": "switch",
        "retire": "finish",
        "remove": "finish",
    }
)


def check_step(
    situation: Situation,
    step: GatedStep,
    pin: Pin | None = None,
    prospects: Sequence[Prospect] = (),
    *,
    renews: bool = False,
) -> tuple[Violation, ...]:
    """Return a violation for each safety rule that a step of a rotation would break.

    Args:
        situation: the facts about the host before the step. For ``publish``, its pin file
            (``pins``) must already have the version number under which it will be published.
        step: the step:
            ``stage`` adds a pin to the pin file (``rotate start``);
            ``publish`` gives the pin file to clients as a new version (``publish sign``, or
            ``rotate shipped``);
            ``activate`` allows servers to use a key (``rotate switch``);
            ``serve`` is the first use of the key by a server (``rotate switch`` checks it before);
            ``retire`` records that no server uses the key any more (``rotate finish``);
            ``remove`` removes the pin from the pin file (``rotate finish``, given again).
        pin: the pin of the step; ``None`` for ``publish``.
        prospects: the chains that servers may present after ``activate`` or ``serve``, as far as
            they are known. Empty if only the key is known: the rules are then applied to the chains
            that are possible with the key (``prospects_of_key``).
        renews: True for the commands that check a chain before it is installed. If every server
            presents the key already, clients that refuse all of these chains are no reason to
            refuse a new certificate for it: nothing changes for them, and the present one would
            expire for all others. False to look for a key that clients accept.

    Returns:
        The violations, each once; an empty tuple if the step is safe.

    Raises:
        TypeError: the step needs a pin, and ``pin`` is ``None``.
    """
    renews = renews and pin is not None and _is_served_already(situation, pin)
    rules = partial(_step_rules, step=step, pin=pin, prospects=prospects, renews=renews)
    found = [*clock_violations(situation), *rules(situation)]
    found += relies_on_ends(situation, found, tuple(rules(without_ends(situation))))
    return tuple(dict.fromkeys(found))


def relies_on_ends(
    situation: Situation, found: Sequence[Violation], if_held: Sequence[Violation]
) -> list[Violation]:
    """Return a violation if a step is safe only by this machine's clock, and no server confirms it.

    A version of the pin set has ended when no client holds it any more. Many ends are computed as
    dates. So if this machine's clock is ahead, a version can seem to have ended although clients
    still hold it. Its pins can also seem to have expired although clients still compare them. The
    clock is confirmed if it agrees with the time that a server reports.

    Args:
        situation: the facts about the host, with the evidence about the time.
        found: the violations of the step in this situation.
        if_held: the violations of the step if clients still held the versions that ended by a date,
            and compared pins that have expired (``without_ends``).

    Returns:
        A list with the violation, or an empty list.
    """
    known = {violation.invariant for violation in found}
    if all(violation.invariant in known for violation in if_held):
        return []
    violation = ends_confirmed(situation)
    return [] if violation is None else [violation]


def _step_rules(
    situation: Situation,
    step: GatedStep,
    pin: Pin | None,
    prospects: Sequence[Prospect],
    *,
    renews: bool,
) -> Iterator[Violation]:
    """Yield the violations of one step of a rotation, except those of the rules about the clock.

    The arguments are those of ``check_step`` (the facts about the host, the step, the pin of the
    step, and the chains that servers may present after it), but ``renews`` is True only if every
    server presents the key already.
    """
    found: tuple[Violation | None, ...]
    if step == "publish":
        found = _publish_rules(situation)
    elif pin is None:
        raise TypeError(f"{step} needs a pin")
    elif step == "stage":
        found = (not_compromised(situation, pin), not_lost(situation, pin))
    elif step in {"activate", "serve"}:
        prospects = prospects or prospects_of_key(situation, pin)
        used = (pin, *issued_pins(prospects))
        found = (
            valid_certificates(situation, prospects),
            not_compromised(situation, *used),
            not_under_compromised(situation, prospects),
            not_lost(situation, *used),
            not_removed(situation, *used),
            adopted(situation, pin, prospects, renews=renews),
            no_unlisted_server(situation) if _becomes_active(situation, pin) else None,
        )
    elif step == "retire":
        found = (
            served_keys_known(situation, pin),
            not_served(situation, pin),
            no_unlisted_server(situation),
        )
    else:
        found = (
            not_active(situation, pin),
            served_keys_known(situation, pin),
            not_served(situation, pin),
            not_last_backup(situation, pin),
            not_the_way_back(situation, pin),
            no_unlisted_server(situation),
        )
    yield from (violation for violation in found if violation is not None)


def _becomes_active(situation: Situation, pin: Pin) -> bool:
    """Return True if a step lets servers use the key of a pin that they may not use yet.

    The result is True if the pin file has the pin, in a different state than ACTIVE. Otherwise the
    step only renews a certificate: servers may use the key already, or clients accept it by the pin
    of its authority. The rules for a new key must not stop a renewal, because the current
    certificate would expire.
    """
    entry = situation.entry(pin)
    return entry is not None and entry.state != "active"


def _is_served_already(situation: Situation, pin: Pin) -> bool:
    """Return True if servers may use a key, and every server presents it in a verified chain.

    A server that did not answer now counts by its last observation in the journal. A listed server
    that was never seen may present a different key. It counts as one with this key only if all
    chains are from files (``--served``), so that no server was contacted, and the journal says that
    servers use the key.
    """
    if _becomes_active(situation, pin) or not situation.all_verified:
        return False
    contacted = any(seen.server for seen in situation.sightings)
    by_journal = not contacted and situation.past.states.get(pin) == "active"
    served = {each.leaf for each in server_states(situation)}
    return served <= ({pin, None} if by_journal else {pin})


def check_now(situation: Situation) -> tuple[Violation, ...]:
    """Return the violations of the rules that must hold at every moment, not only before a step.

    The rules apply to every version of the pin set that some client may hold. The version has to
    accept the chains that servers present, its pins must not expire before its clients can have the
    next version, and it must not accept a compromised key that a server presents.
    """
    alive = situation.alive
    found = (
        served_chain(situation, alive),
        expiry(situation, alive),
        stolen_key_left(situation, alive),
    )
    return tuple(violation for violation in found if violation is not None)


def _publish_rules(situation: Situation) -> tuple[Violation | None, ...]:
    """Return the result of each rule for publishing the draft: its violation, or ``None``.

    The draft is the pin file that becomes the next version. Some rules are about the pins that the
    latest version has and the draft doesn't.
    """
    new = situation.published_now
    live = tuple(situation.policy.live_pins)
    dropped = dropped_pins(situation)
    # `rotate finish` has checked the others. An edit can write the state `removed`, too.
    edited = [pin for pin in dropped if situation.past.states.get(pin) != "removed"]
    return (
        version_rises(situation),
        *(not_compromised(situation, pin) for pin in live),
        not_removed(situation, *live),
        *(not_from_one_vantage(situation, pin) for pin in live),
        backup(situation),
        served_chain(situation, [new]),
        common_trust_kept(situation),
        expiry(situation, [new]),
        stolen_key_left(situation, [new]),
        *(not_active(situation, pin) for pin in dropped),
        *(served_keys_known(situation, pin) for pin in dropped),
        *(not_the_way_back(situation, pin) for pin in dropped),
        *(adopted_backup_kept(situation, pin) for pin in edited),
        no_unlisted_server(situation),
    )


# Rules about time: no step relies only on the clock of this machine.
#
# Whether clients may still hold a version follows from dates in the journal and from the time. A
# clock that is ahead makes versions look gone, and pins expired; one that is behind dates new
# versions too early. Both would let a step lock clients out. So three rules are part of the gate:
#
#     the time of a step follows the newest entry of the journal
#     it agrees with the time that each contacted server reports
#     if a version must have ended, or its pins expired, a server's time has to confirm that
#
# ``CLOCK_TOLERANCE`` is allowed each time. Only a time that came over a connection with a verified
# chain counts. A time from another connection may be an attacker's: it is a hint in messages.

_MINUTE = timedelta(minutes=1)
REPAIR = (
    "set the clock; if it is right, the clock of that entry was ahead: certpin rotate clock "
    "corrects it"
)


def time_evidence(
    newest: Event | None,
    sightings: Sequence[Sighting] = (),
    others: Sequence[ServerDate] = (),
    silent: str = "",
) -> TimeEvidence:
    """Return the facts that confirm or contradict this machine's clock when a step is taken.

    Args:
        newest: the newest entry of the rotation journal; ``None`` if the journal is empty.
        sightings: the probe results of the servers in the pin file that answered.
        others: the times of other servers, received over verified TLS connections.
        silent: the host of ``fetch_url`` if it was asked and gave no such time; else empty.
    """
    proven = [each.date for each in sightings if each.chain and each.date]
    hints = [each.date for each in sightings if not each.chain and each.date]
    entry = f"{newest.step} by {printable(newest.who)}" if newest else ""
    return TimeEvidence(
        newest.time if newest else None,
        entry,
        (*proven, *others),
        tuple(hints),
        contacted=any(each.server for each in sightings),
        silent=silent,
    )


def step_time(newest: Event | None, now: datetime) -> datetime:
    """Return the time to record in the journal for a step that is taken now.

    Usually this is the time of this machine. But if the newest entry of the journal is later by at
    most ``CLOCK_TOLERANCE``, the time of that entry is used. Otherwise a version that was just
    published from a machine with a faster clock would not count as published yet. If the entry is
    later by more, one of the clocks is wrong, and the safety rules report that. ``newest`` is the
    newest entry of the journal, and ``now`` the time of this machine.
    """
    is_close = newest is not None and now < newest.time <= now + CLOCK_TOLERANCE
    return newest.time if newest and is_close else now


def clock_violations(situation: Situation) -> tuple[Violation, ...]:
    """Return the violations of the rules about this machine's clock, which apply to every step."""
    if situation.evidence is None:
        return ()
    found = (follows_journal(situation), agrees_with_servers(situation))
    return tuple(violation for violation in found if violation is not None)


def follows_journal(situation: Situation) -> Violation | None:
    """Return a violation if the time of the step is before the newest entry of the journal.

    A difference of ``CLOCK_TOLERANCE`` is allowed.
    """
    problem = behind_journal(situation.evidence, situation.now) if situation.evidence else ""
    if not problem:
        return None
    return Violation("clock", problem + _hint(situation), client_count(situation), fix=REPAIR)


def behind_journal(evidence: TimeEvidence, now: datetime) -> str:
    """Return an error text if the newest journal entry is later than ``now``; else an empty text.

    A step must not be recorded at such a time. A difference of ``CLOCK_TOLERANCE`` is allowed.
    ``evidence`` has the time of the newest entry.
    """
    newest = evidence.newest
    if newest is None or newest - now <= CLOCK_TOLERANCE:
        return ""
    return (
        f"the newest entry of the journal ({evidence.entry}, {in_utc(newest)}) is "
        f"{_apart(newest - now)} later than the clock of this machine"
    )


def agrees_with_servers(situation: Situation) -> Violation | None:
    """Return a violation if this machine's clock differs from that of a contacted server.

    Only servers with a verified chain count. A difference of ``CLOCK_TOLERANCE`` is allowed.
    """
    problem = clock_problem(situation.evidence) if situation.evidence else ""
    if not problem:
        return None
    return Violation(
        "clock",
        problem,
        client_count(situation),
        fix=SET_CLOCK,
    )


def clock_problem(evidence: TimeEvidence) -> str:
    """Return an error text if this machine's clock differs from a server's; else an empty text.

    Only servers with a verified chain count. A difference of ``CLOCK_TOLERANCE`` is allowed.
    ``evidence`` has the times that servers reported.
    """
    wrong = [each for each in evidence.dates if each.difference > CLOCK_TOLERANCE]
    return f"the clock of this machine is {difference_text(wrong[0])}" if wrong else ""


def ends_confirmed(situation: Situation) -> Violation | None:
    """Return a violation if only this machine's unconfirmed clock shows that something has ended.

    That is a version, which has ended when no client holds it any more; or its pins, if they expire
    by a date; or its list of logs, which becomes too old.

    Args:
        situation: the facts about the host. The caller has found that the step is safe only if
            these have ended.
    """
    found = unconfirmed(situation)
    if found is None:
        return None
    problem = f"only the clock of this machine says {', and '.join(_claims(situation))}"
    return replace(found, problem=f"{problem}: {found.problem}")


def _claims(situation: Situation) -> list[str]:
    """Return the things that have ended by this machine's clock, for the text of a violation.

    Each thing that has ended (a version, its pins or its list of logs) is given as a clause that
    begins with "that".
    """
    alive = {version.number for version in situation.alive}
    ended = [each for each in without_ends(situation).alive if each.number not in alive]
    claims = [f"that no client holds {version_list(ended)} any more"] if ended else []
    claims += _claims_of(situation.alive, situation.now)
    return claims or _claims_of([Version(situation.pins)], situation.now)


def _claims_of(versions: Sequence[Version], now: datetime) -> list[str]:
    # The step may be about a host that only published versions have, so all policies count.
    policies = [(version, version.pins.policies) for version in versions]
    expired = [each for each, own in policies if any(policy.expired(now) for policy in own)]
    claims = [f"that the pins of {version_list(expired)} have expired"] if expired else []
    logs = [(version, version.pins.ct_logs) for version in versions]
    old = [each for each, known in logs if known and known.timestamp and known.stale(now)]
    if old:
        claims.append(f"that the list of logs (ct_logs) of {version_list(old)} is too old")
    return claims


def unconfirmed(situation: Situation) -> Violation | None:
    """Return a violation if no server with a verified chain has confirmed this machine's clock.

    A server confirms the clock if its HTTP ``Date`` differs by at most ``CLOCK_TOLERANCE``. Return
    ``None`` too if the clock is not checked (``Situation.evidence`` is ``None``).
    """
    if situation.evidence is None or situation.evidence.confirmed:
        return None
    return Violation(
        "clock",
        f"no server confirmed the time{_hint(situation)}",
        client_count(situation),
        fix=how_to_confirm_time(situation.evidence),
    )


def without_ends(situation: Situation) -> Situation:
    """Return a copy of the facts about a host in which versions end only by the journal.

    In the copy, clients may hold a version until the journal records that it has ended. Ends that
    were computed as dates have no effect. Clients also compare pins that have expired.
    """
    return replace(situation, deployed=replace(situation.deployed, endless=True))


def difference_text(date: ServerDate) -> str:
    """Return the difference between this machine's clock and a server's clock as text.

    ``date`` has the times of both. For example, ``10m ahead of that of api.bank.example (2027-06-01
    12:00 UTC)``.
    """
    word = "ahead of" if date.local > date.date else "behind"
    return f"{_apart(date.difference)} {word} that of {date.source} ({in_utc(date.date)})"


def _apart(difference: timedelta) -> str:
    """Return the difference of two clocks as text, rounded to the minute."""
    return format_duration(round(difference / _MINUTE) * _MINUTE)


def clock_doubt(evidence: TimeEvidence) -> str:
    """Return the difference between this machine's clock and that of a server, as a hint in words.

    ``evidence`` has the times that servers reported. The server has no verified chain, so it is not
    authenticated. The text is empty if no such server reports a different time, or if a server with
    a verified chain reports one.
    """
    if not evidence.doubts:
        return ""
    return f"{difference_text(evidence.doubts[0])}, which has no verified chain"


def _hint(situation: Situation) -> str:
    """Return a hint for the user that this machine's clock may be wrong, as the end of a sentence.

    The hint is about the first server that reports a different time, but has no verified chain.
    Such a server is not authenticated, so that its time proves nothing. The hint is empty if there
    is no such server.
    """
    doubt = clock_doubt(situation.evidence) if situation.evidence else ""
    return f"; it seems to be {doubt}" if doubt else ""


# The servers of a host, and the rule that a server that was seen once is not forgotten.
#
# The pin file lists the servers of a host (``[[host.server]]``); without a list, the host itself is
# the only one. A step contacts all of them. The journal keeps the last observation of each server
# until a user confirms that the server is gone. A server that was seen once, and that neither is
# listed nor answered now, blocks the steps that depend on the keys of all servers.

# An observation that changes nothing is journaled again after this time: the journal shows that a
# server still presented its key, and does not grow with each run.
_OBSERVED_AGAIN = timedelta(days=1)


@dataclass(frozen=True)
class ServerStatus:
    """The key that one server of a host presents, or presented when it was last seen.

    Attributes:
        server: the server's address and port, as in the pin file.
        region: the server's label in the pin file; empty if it has none.
        leaf: the pin of the key of the server's leaf certificate; ``None`` if the server was never
            seen, or sent no certificate.
        state: the state of that pin at this host; ``None`` if the host never had that pin, for
            example because an authority is pinned instead.
        problem: the reason why the server's chain did not verify; empty if it did.
        time: when the server presented this key; ``None`` if it was never seen.
        current: True if the server answered a probe of this command; False if the key is from the
            journal.
        listed: True if the pin file lists the server. If the pin file lists no servers for the
            host, the host itself counts as listed.
    """

    server: str
    region: str
    leaf: Pin | None
    state: State | None
    problem: str
    time: datetime | None
    current: bool
    listed: bool


def server_states(situation: Situation) -> tuple[ServerStatus, ...]:
    """Return the status of each server of a host, so that a user can compare the keys of regions.

    Returns:
        The servers that the pin file lists, in its order, then the others by name. A server with
        different keys at its IP addresses has a status for each address. A chain from a file
        (``--served``) counts as a server that isn't listed. A listed server that was never seen has
        no time; for a server that did not answer, the status is from its last observation in the
        journal.
    """
    divided = _divided(situation)
    regions = {
        name: region
        for server, region in listed_servers(situation.policy, situation.pins).items()
        for name in divided.get(server, [server])
    }
    found = {
        name: ServerStatus(name, region, None, None, "", None, current=False, listed=True)
        for name, region in regions.items()
    }
    earlier = sorted(observed_here(situation), key=lambda seen: seen.time)
    others = {
        name: _status(situation, regions, replace(seen, server=name), current=False)
        for seen in earlier
        if (name := _name_here(situation, seen)) not in divided
    }
    for each in situation.sightings:
        name = each.vantage if each.server in divided else each.server or each.vantage
        seen = ServerObservation(situation.pattern, name, situation.now, each.leaf, each.problem)
        others[name] = _status(situation, regions, seen, current=True)
    return tuple((found | dict(sorted(others.items()))).values())


def _divided(situation: Situation) -> dict[str, list[str]]:
    """Return the servers with IP addresses that present different keys or fail in different ways.

    The result is a dict from the name of each such server to the descriptions of its addresses.
    """
    answers: dict[str, dict[str, tuple[Pin | None, str]]] = {}
    for each in situation.sightings:
        answers.setdefault(each.server, {})[each.vantage] = each.leaf, each.problem
    return {
        server: list(found)
        for server, found in answers.items()
        if server and len(set(found.values())) > 1
    }


def listed_servers(policy: HostPolicy, pins: PinSet) -> dict[str, str]:
    """Return the region of each server that a policy lists, by the server's name in the journal.

    The region is empty if the pin file gives none. If the policy lists no servers, the host is its
    only server; or, if its pattern is a wildcard, the result is empty. A server that a wildcard
    lists is left out if the pin set ``pins`` has a more specific policy for the name of the server.
    """
    return {
        server_name(endpoint_at(host, server), policy.pattern): server.region
        for host, server in served_at(policy, pins)
    }


def observed_here(situation: Situation) -> tuple[ServerObservation, ...]:
    """Return the last observation of each server that belongs to this host's policy.

    An observation is a journal entry with the key that a server presented. It has the host pattern
    of the server's policy at that time. The server belongs to the policy that now covers its host
    name: the pin file may no longer have that pattern, or have a more specific one.
    """
    pins, policy = situation.pins, situation.policy
    return tuple(each for each in situation.observed if _policy_of_observed(pins, each) is policy)


def _policy_of_observed(pins: PinSet, seen: ServerObservation) -> HostPolicy | None:
    """Return the policy that clients with a pin set use for a server; ``None`` if it has none.

    Args:
        pins: the pin set.
        seen: the last observation of the server in the journal.
    """
    if not seen.host.wildcard:
        return pins.policy_for(seen.host.name)
    endpoint = observed_endpoint(seen)
    # At an address, it was contacted with the name of the wildcard, because no other is known.
    is_assumed = endpoint.connect is not None and endpoint.name == seen.host.name
    own = pins.policy_of(seen.host) if is_assumed else None
    return own or pins.policy_for(endpoint.name)


def observed_endpoint(seen: ServerObservation) -> Endpoint:
    """Return the host and the address of a server, to contact it again.

    ``seen`` is the last observation of the server in the journal. The name of the server there
    (``server_name``) has both. The protocol before TLS is not in the journal.
    """
    name, _, address = seen.server.rpartition(" at ")
    host, port = split_address(address, HTTPS)
    name = name or (host if seen.host.matches(host) else seen.host.name)
    return Endpoint(name, port, None if host == name else (host, port))


def no_unlisted_server(situation: Situation) -> Violation | None:
    """Return a violation if a server in the journal is neither in the pin file nor contacted now.

    The server may still be used, and present a key that clients would refuse after the step. If the
    server no longer exists, the user has to record that with ``certpin rotate gone``.
    """
    missing = unlisted_servers(situation)
    if not missing:
        return None
    last = missing[0]
    others = f", and {len(missing) - 1} more" if len(missing) > 1 else ""
    return Violation(
        "unlisted",
        f"{printable(last.server)} presented {last.leaf or 'a chain'} on "
        f"{in_utc(last.time, down=True)}, and "
        f"the pin file does not list it{others}: its present key is unknown",
        client_count(situation),
        fix="list it ([[host.server]]) or contact it (--connect); if it is switched off: certpin "
        f"rotate gone {shlex.quote(last.server)} --reason TEXT",
    )


def unlisted_servers(situation: Situation) -> list[ServerObservation]:
    """Return the last observation of each server that the pin file doesn't list any more.

    Left out are servers that were contacted now.
    """
    known = {
        *listed_servers(situation.policy, situation.pins),
        *(each.server for each in situation.sightings),
    }
    return [seen for seen in observed_here(situation) if _name_here(situation, seen) not in known]


def _name_here(situation: Situation, seen: ServerObservation) -> str:
    """Return the name that a server has in the journal if it is contacted for this policy.

    ``seen`` is the last observation of the server in the journal. The journal may have a different
    name for it, from the time at which another pattern covered the server.
    """
    return server_name(observed_endpoint(seen), situation.pattern)


def new_observations(situation: Situation, who: str) -> tuple[Event, ...]:
    """Return the journal entries for the servers that answered a probe.

    A server with the same key and problem as in its last entry gets a new entry only once a day. If
    the IP addresses of a server present different keys, only one key is recorded: the key of the
    last entry, if an address still presents it; otherwise the key of any address.

    But each certificate that clients pin (``cert-sha256``) is recorded with its key, until the
    journal has it once: if the key is stolen later, that shows that the pin is of the same key. A
    renewed certificate that is not pinned is no reason for an entry.

    Args:
        situation: the facts about the host, with its probe results (``sightings``).
        who: the person who takes the step.
    """
    host, now = str(situation.pattern), situation.now
    known = {each.server: each for each in situation.observed if each.host == situation.pattern}

    def is_known(sighting: Sighting) -> bool:
        last = known.get(sighting.server)
        return last is not None and (last.leaf, last.problem) == (sighting.leaf, sighting.problem)

    unrecorded = situation.pinned - situation.past.same_keys.keys()
    latest = {
        (each.server, each.certificate if each.certificate in unrecorded else None): each
        for each in sorted(situation.sightings, key=is_known)
    }
    return tuple(
        Event(
            now,
            who,
            "observe",
            host,
            each.leaf,
            server=server,
            problem=each.problem,
            certificate=each.certificate,
        )
        for (server, new), each in latest.items()
        if server and (new or not (is_known(each) and now - known[server].time < _OBSERVED_AGAIN))
    )


def _status(
    situation: Situation, regions: Mapping[str, str], seen: ServerObservation, *, current: bool
) -> ServerStatus:
    leaf, name = seen.leaf, seen.server
    is_known = leaf is not None and (situation.entry(leaf) or leaf in situation.past.states)
    state = pin_state(situation, leaf) if leaf and is_known else None
    region, listed = regions.get(name, ""), name in regions
    return ServerStatus(name, region, leaf, state, seen.problem, seen.time, current, listed)
