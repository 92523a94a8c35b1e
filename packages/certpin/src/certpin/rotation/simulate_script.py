"""The script of a simulation: published versions, served keys, and the dates of the steps.

Steps are taken in the order of their dates, and without safety rules, so that a wrong order can be
simulated. Times are seconds since the beginning of the simulation; fractions are dropped.

Not modelled: two versions with one number (the first one counts), a key that becomes compromised
during the simulation, and certificates that expire.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING

from certpin.errors import InputError
from certpin.pins import HostPin, verify
from certpin.rotation.arrivals import SECOND
from certpin.rotation.fleet import fetch_order, is_unnamed, named_releases, seconds_of
from certpin.rotation.prospect import (
    UNPINNED,
    Prospect,
    chain_with,
    possible_chains,
    stand_in,
    trust_digest,
    with_private_anchors,
)
from certpin.rotation.trust import chain_of_sighting
from certpin.support.text import LONGEST_DURATION, format_duration, in_utc
from certpin.x509 import Chain

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import timedelta

    from certpin.pins import HostPolicy, Pin
    from certpin.rotation.plan import Step
    from certpin.rotation.releases import AppRelease
    from certpin.rotation.situation import Sighting, Situation, Version

    # The chain of each server: a `Prospect` if its certificates were named, and not yet served.
    Chains = tuple["ServedChain | Prospect", ...]

# The steps that clients notice, at once or later. The others are only recorded in the journal.
NOTICED = frozenset({"stage", "remove", "publish", "push", "serve"})

# Each version is counted for each hour: with this many in ten years, that takes about 350 MB.
MAX_STEPS = 500

_ANY = datetime.min.replace(tzinfo=UTC)  # the policies that are compared don't expire


@dataclass(frozen=True)
class DatedStep:
    """A step of a rotation with its date.

    Attributes:
        number: the number of the step in the plan or in the user's file, from 1.
        step: the step.
        at: the date.
    """

    number: int
    step: Step
    at: datetime


@dataclass(frozen=True)
class ServedChain:
    """The chain of one server, as clients with different trust anchors verify it.

    Attributes:
        path: the path that clients verify with the anchors of the draft (the pin file that would be
            published next); ``None`` if they can verify none.
        others: the paths of clients with other anchors, by the digest of these anchors
            (``trust_digest``); ``None`` if these clients can verify none.
    """

    path: Chain | None
    others: Mapping[bytes | None, Chain | None] = field(default_factory=dict)

    def path_for(self, policy: HostPolicy) -> Chain | None:
        """Return the path that clients with a policy verify; ``None`` if they can verify none."""
        return self.others.get(trust_digest(policy), self.path)

    def with_key(self, situation: Situation, pin: Pin) -> ServedChain:
        """Return the chain that the server presents when it uses a certain key (``chain_with``).

        ``situation`` has the facts about the host, and ``pin`` is that of the key. If the key is a
        leaf's, the authorities above it stay the same. So clients that can't verify the present
        chain, because they don't trust its anchor, can't verify the next one either. If the key is
        an authority's, or if no client verifies the present chain, it is assumed that all clients
        verify the next one.
        """
        stays = situation.role_of(pin) == "leaf" and any((self.path, *self.others.values()))

        def after(path: Chain | None) -> Chain | None:
            return None if path is None and stays else chain_with(situation, pin, path)

        return ServedChain(
            after(self.path), {key: after(each) for key, each in self.others.items()}
        )


@dataclass(frozen=True)
class Release:
    """A published version of the pin set, as clients of one host hold it.

    Times are seconds since the beginning of the simulation.

    Attributes:
        number: the number of the version.
        at: when clients could first fetch the version.
        policies: copies of the host's policies in the version, only for comparing pins. There are
            several if the version has other patterns than the pin file; empty if the version
            refuses nothing. In the copies, the pins never expire (see ``end``). The mode of the
            copies is ``report``, because only a policy in this mode is allowed to have a single
            pin.
        end: when its pins expire, so that clients with the version refuse every server; ``None`` if
            that never happens.
        by: the latest time at which all clients have the version, if the journal records that the
            previous version has ended; otherwise ``None``.
        step: the number of the step that publishes it; ``None`` if it was published before.
    """

    number: int
    at: int
    policies: tuple[HostPolicy, ...]
    end: int | None = None
    by: int | None = None
    step: int | None = None

    def refuses(self, chains: Chains, at: int) -> bool:
        """Return True if clients with this release refuse one of the served chains.

        Args:
            chains: the chain of each server. A ``Prospect`` counts as refused if one of its
                possible paths is refused, or if clients can build no path.
            at: the second, since the beginning of the simulation.
        """
        ended = self.end is not None and at >= self.end
        return ended or any(
            verify(path, policy, _ANY, pins_only=True).is_finding
            for policy in self.policies
            for chain in chains
            for path in (
                possible_chains(chain, policy)
                if isinstance(chain, Prospect)
                else (chain.path_for(policy),)
            )
        )


@dataclass(frozen=True)
class Serving:
    """The chains that servers present in a part of a simulation.

    Attributes:
        at: the second from which servers present the chains.
        chains: the chain of each server; empty if the chains are unknown.
        step: the number of the step that changed the chains; ``None`` for those at the beginning.
    """

    at: int
    chains: Chains
    step: int | None = None


@dataclass(frozen=True)
class AppScript:
    """The releases of one app in a simulation.

    Attributes:
        name: the name of the app.
        begin: the beginning of the simulation, in seconds since 1970.
        entries: the releases of the app that the journal records, each with the version of the pin
            set in its binary.
        releases: the versions of ``entries``, in the same order, each as a ``Release``.
    """

    name: str
    begin: int
    entries: tuple[tuple[Version, AppRelease], ...]
    releases: tuple[Release, ...]


@dataclass(frozen=True)
class Script:
    """The input of a simulation: the versions that clients get and the chains that servers present.

    Attributes:
        begin: the beginning of the simulation.
        steps: the steps of the rotation, with dates, in any order.
        releases: the versions of the pin set that clients fetch, sorted by time.
        servings: the chains that servers present, sorted by time.
        binaries: the versions in binaries of unknown apps.
        until: the end of the simulation, in seconds since the beginning.
        apps: the apps with recorded releases.
        fetched: True if clients fetch the releases; False if no version can be fetched, and
            ``releases`` is the one version that clients without a binary hold.
    """

    begin: datetime
    steps: tuple[DatedStep, ...]
    releases: tuple[Release, ...]
    servings: tuple[Serving, ...]
    binaries: tuple[Release, ...]
    until: int
    apps: tuple[AppScript, ...] = ()
    fetched: bool = True


def dated_steps(steps: Iterable[Step], now: datetime) -> tuple[DatedStep, ...]:
    """Return the steps of a plan with dates: each as early as the plan allows.

    No step has a date before ``now``, or before the date of the previous step.
    """
    found = []
    for number, step in enumerate(steps, 1):
        now = max(now, step.not_before or now)
        found.append(DatedStep(number, step, now))
    return tuple(found)


def moved_steps(
    steps: Sequence[DatedStep], moves: Mapping[int, timedelta]
) -> tuple[DatedStep, ...]:
    """Return the dated steps, some of them moved to earlier or later dates.

    Args:
        steps: all steps of the script.
        moves: for the number of each step to move, by how much to move it; negative for earlier.

    Raises:
        InputError: there is no step with a number in ``moves``, or the step neither serves nor
            publishes anything, so that its date has no effect on clients.
    """
    known = {dated.number: dated for dated in steps}
    for number in moves:
        if number not in known:
            raise InputError(f"there is no step {number}", fix=f"give 1 to {len(steps)}")
        if known[number].step.act not in NOTICED:
            raise InputError(
                f"clients don't notice step {number} ({known[number].step.act})",
                fix="move the step that serves or publishes",
            )
    nothing = 0 * SECOND
    return tuple(replace(each, at=each.at + moves.get(each.number, nothing)) for each in steps)


def build_script(
    situation: Situation,
    steps: Sequence[DatedStep],
    presented: Mapping[Pin, Sequence[Prospect]] = MappingProxyType({}),
) -> Script:
    """Return the input of a simulation in which each step is taken at its date.

    Args:
        situation: the facts about the host at the beginning.
        steps: the steps with their dates.
        presented: the chains that servers may present with the key of a pin, if they are known.

    Raises:
        InputError: a step is in the past or too far ahead, there are too many steps, or no version
            is published.
    """
    ordered = sorted(steps, key=lambda dated: dated.at)
    _check(situation, ordered)
    begin, adopt = situation.now, situation.timing.adopt
    releases, servings = fetched_releases(situation), [Serving(0, assumed_chains(situation))]
    _take(situation, ordered, presented, releases, servings)
    last = ordered[-1].at if ordered else begin
    hours = -(-(last - begin + adopt) // (3600 * SECOND)) + 24
    binaries = bundled_releases(situation)
    return Script(
        begin,
        tuple(steps),
        tuple(releases),
        tuple(servings),
        binaries,
        hours * 3600,
        _apps(situation),
        bool(fetch_order(situation.deployed)) or any(each.step for each in releases),
    )


def assumed_chains(situation: Situation) -> Chains:
    """Return the chains that servers present now: those that a probe saw, or assumed ones.

    Chains are assumed if no server was probed. Then there is one server for each ACTIVE pin of a
    leaf in the draft (the pin file that would be published next). If all ACTIVE pins are those of
    authorities, there is one server with all of these authorities in its chain.
    """
    if situation.sightings:
        return tuple(_served_chain(situation, sighting) for sighting in situation.sightings)
    active = [entry.pin for entry in situation.policy.pins if entry.state == "active"]
    roles = {pin: situation.role_of(pin) for pin in active}
    leaves = [pin for pin in active if roles[pin] == "leaf"]
    above = tuple(stand_in(pin) for pin in active if roles[pin] != "leaf")
    if leaves:
        chains = [chain_with(situation, leaf) for leaf in leaves]
        return tuple(ServedChain(Chain((each.leaf, *above)) if above else each) for each in chains)
    if not active:
        return ()
    return (ServedChain(Chain((chain_with(situation, active[0]).leaf, *above))),)


def _served_chain(situation: Situation, sighting: Sighting) -> ServedChain:
    """Return the chain that a server presents, with the paths of the clients of each version.

    ``sighting`` is the result of probing the server.
    """
    policies = [
        policy
        for version in situation.deployed.versions
        for policy in situation.policies_of(version)
    ]
    others = {trust_digest(each): chain_of_sighting(situation, sighting, each) for each in policies}
    return ServedChain(sighting.chain, others)


def fetched_releases(situation: Situation) -> list[Release]:
    """Return the versions of the pin set that clients fetch, in the order in which they get them.

    The first is the newest version that every client has, if there is one. If no version can be
    fetched, return only the newest version that some client may hold.
    """
    order = fetch_order(situation.deployed)
    if not order:
        # Clients without a binary of their own hold the newest version.
        newest = max(situation.alive, key=lambda version: version.number)
        return [release_of(newest, situation)]
    begin = seconds_of(situation.now)
    releases = [
        replace(release_of(version, situation), by=None if by is None else by - begin)
        for version, by in order
    ]
    adopt = situation.timing.adopt // SECOND
    known = [index for index, release in enumerate(releases) if release.at + adopt <= 0]
    return releases[known[-1] :] if known else releases


def _apps(situation: Situation) -> tuple[AppScript, ...]:
    by_app: dict[str, list[tuple[Version, AppRelease]]] = {}
    for version, release in named_releases(situation.deployed):
        by_app.setdefault(release.app, []).append((version, release))
    begin = seconds_of(situation.now)
    return tuple(
        AppScript(
            name, begin, tuple(entries), tuple(release_of(each, situation) for each, _ in entries)
        )
        for name, entries in by_app.items()
    )


def bundled_releases(situation: Situation) -> tuple[Release, ...]:
    """Return the versions that clients may hold, and that are in binaries of unnamed apps.

    An app is unnamed if the journal has no name for it.
    If several versions have the same number, only the first one is returned.
    """
    found: dict[int, Release] = {}
    for version in situation.alive:
        if is_unnamed(version):
            found.setdefault(version.number, release_of(version, situation))
    return tuple(found.values())


def release_of(version: Version, situation: Situation) -> Release:
    """Convert a version of the pin set to a ``Release`` for the simulation of one host."""
    policies = [policy for policy in situation.policies_of(version) if policy]
    at = _seconds(version.fetched, situation) or 0
    compared = [each for policy in policies for each in _compared(policy, policy.pins)]
    return Release(version.number, at, tuple(compared), _refuses_from(policies, situation))


def _compared(policy: HostPolicy, pins: Iterable[HostPin]) -> tuple[HostPolicy, ...]:
    """Return a copy of a policy for ``Release``: with ``pins``, in report mode, without expiry.

    Only a policy in report mode may have a single pin. If clients accept none of ``pins``, a pin
    that matches no certificate is added. Return an empty tuple if ``policy`` is not in mode
    ``enforce``, so that clients refuse nothing.
    """
    if policy.mode != "enforce":
        return ()
    entries = tuple(pins)
    if not any(entry.live for entry in entries):  # a wrong order of steps may leave none
        entries = (*entries, HostPin(UNPINNED, "backup"))
    return (replace(policy, pins=entries, mode="report", expires=None),)


def _refuses_from(policies: Iterable[HostPolicy], situation: Situation) -> int | None:
    """Return the second from which clients refuse every server of a host for its expired pins.

    The second is counted from the beginning of the simulation. If the policies expire at different
    times, the first expiry counts. Return ``None`` if no policy makes clients refuse servers when
    it expires.
    """
    ends = filter(None, (policy.refuses_from for policy in policies))
    return _seconds(min(ends, default=None), situation)


def _check(situation: Situation, ordered: Sequence[DatedStep]) -> None:
    now, adopt = situation.now, situation.timing.adopt
    if not situation.alive:
        raise InputError(
            "no published version is recorded",
            fix=f"record the published version: certpin rotate shipped {situation.pins.version}",
        )
    if len(ordered) > MAX_STEPS:
        raise InputError(f"{len(ordered)} steps are too many", fix=f"at most {MAX_STEPS}")
    if ordered and ordered[0].at < now:
        raise InputError(
            f"step {ordered[0].number} is before the beginning of the simulation",
            fix=f"move it to {in_utc(now)} or later",
        )
    if (ordered[-1].at - now if ordered else 0 * SECOND) + adopt > LONGEST_DURATION:
        raise InputError(
            f"the simulation would take more than {format_duration(LONGEST_DURATION)}",
            fix="give earlier dates, or shorter delays",
        )


def _take(
    situation: Situation,
    steps: Sequence[DatedStep],
    presented: Mapping[Pin, Sequence[Prospect]],
    releases: list[Release],
    servings: list[Serving],
) -> None:
    policy = situation.policy
    draft = {entry.pin: entry for entry in policy.pins}
    end = _refuses_from([policy], situation)
    number = situation.deployed.next_number(situation.pins)
    for dated in steps:
        at, pin = seconds_of(dated.at) - seconds_of(situation.now), dated.step.pin
        if dated.step.act == "publish":
            published = _compared(policy, draft.values())
            releases.append(Release(number, at, published, end, None, dated.number))
            number += 1
        elif dated.step.act == "push":
            releases += _pushed(situation, releases, dated.number, at)
        elif pin and dated.step.act == "stage":
            draft[pin] = HostPin(pin, "backup", "staged")
        elif pin and dated.step.act == "remove":
            draft.pop(pin, None)
        elif pin and dated.step.act == "serve":
            chains = _chains_with(situation, pin, presented.get(pin, ()), servings[-1].chains)
            servings.append(Serving(at, chains, dated.number))


def _chains_with(
    situation: Situation, pin: Pin, prospects: Sequence[Prospect], before: Chains
) -> Chains:
    """Return the chains of all servers after they begin to use a key.

    Args:
        situation: the facts about the host.
        pin: the pin of the key.
        prospects: the chains that servers may present with it. If they are empty, only the key is
            known: each chain in ``before`` then gets this key (``ServedChain.with_key``).
        before: the chains that they presented until then.
    """
    if prospects:
        return tuple(with_private_anchors(situation, prospects))
    served = [each for each in before if isinstance(each, ServedChain)] or [ServedChain(None)]
    return tuple(each.with_key(situation, pin) for each in served)


def _pushed(
    situation: Situation, out: Sequence[Release], step: int, at: int
) -> tuple[Release, ...]:
    """Return the version that waits for its push, as a release that clients fetch from ``at`` on.

    The push is the upload of a signed pin set, and ``at`` the second of the step ``step``. ``out``
    are the releases that clients can already fetch: if one of them has a higher version, return an
    empty tuple. Raises ``InputError`` if no version waits for its push.
    """
    latest = situation.deployed.latest
    if latest is None or not latest.pending or any(latest.number == each.number for each in out):
        raise InputError(
            f"step {step} (push) has no version to push",
            fix="leave it out: in a simulation, a publish is available at once",
        )
    if any(latest.number < release.number for release in out):
        return ()
    return (replace(release_of(latest, situation), at=at, step=step),)


def _seconds(moment: datetime | None, situation: Situation) -> int | None:
    return seconds_of(moment) - seconds_of(situation.now) if moment else None
