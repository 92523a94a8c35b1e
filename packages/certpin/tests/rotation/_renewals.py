"""A thousand renewals: the operators of sites ask the gate, and the clients don't know it.

A site renews its certificate again and again, as an ACME client with the hook does: from two thirds
of the lifetime on, it tries once a day, and installs only certificates that the gate accepts. If
the last try before the expiry was refused, its operator forces the step. All decisions are those of
``certpin.rotation``.

Afterwards, ``Clients`` replays the story: each client fetches each version after a random
delay, and compares hashes. It has no code in common with the gate.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from cryptography.hazmat.primitives.serialization import Encoding

from certpin.lab import Authority
from certpin.pins import HostPattern, HostPin, HostPolicy, Pin, PinSet
from certpin.rotation import (
    AdoptionDelays,
    DeployedVersions,
    Prospect,
    Sighting,
    Situation,
    Version,
    check_step,
    plan,
)
from certpin.rotation.plan import at_time, with_published, with_staged, with_state
from certpin.rotation.prospect import stand_in
from certpin.x509 import Chain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptography.x509 import Certificate as ParsedCertificate

    from certpin.pins import Match
    from certpin.rotation.gate import GatedStep
    from certpin.x509 import Certificate

Strategy = Literal["reused key", "staged keys", "provider's roots"]

HOST = HostPattern.parse("api.bank.example")
BEGIN = datetime(2027, 3, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SITES = 20
RENEWALS = 50  # of each site: 1,000 together
CLIENTS = 40  # of each site
# How long the users of a site leave its app closed, in days: T_adopt is a day more.
_OPENED = (1, 5, 12, 30, 60)
_NOTICE = 90 * DAY  # between a provider's announcement of a root and its first certificate


@dataclass(frozen=True)
class Presented:
    """A chain that the servers present from a time on: the hashes of its keys, leaf first."""

    at: datetime
    keys: tuple[bytes, ...]


@dataclass
class Story:
    """The versions and the served keys of a site over time, as times and hashes only."""

    match: Match
    longest_delay: timedelta
    versions: list[tuple[datetime, frozenset[bytes]]] = field(default_factory=list)
    presented: list[Presented] = field(default_factory=list)


@dataclass
class Counts:
    """The result of many renewals.

    Attributes:
        switched: renewals that changed to the staged key.
        kept: renewals for which the staged key was not adopted yet, so that the key stayed.
        unplanned: those of ``kept`` for which the plan should say that the certificate has to be
            renewed before, and does not, or the reverse.
        expired: certificates that expired because the gate refused the next one.
        forced: uses of ``--force``.
        locked_out: clients that were ever locked out.
    """

    renewals: int = 0
    switched: int = 0
    kept: int = 0
    unplanned: int = 0
    refused: int = 0
    expired: int = 0
    forced: int = 0
    clients: int = 0
    locked_out: int = 0


def simulate(
    strategy: Strategy,
    lifetime: timedelta,
    *,
    asks_the_gate: bool = True,
    notice: timedelta = _NOTICE,
) -> Counts:
    """Play the renewals of all sites, and then their clients.

    Args:
        strategy: which key a renewal has.
        lifetime: of each certificate.
        asks_the_gate: False to install every certificate, which shows that the clients notice.
        notice: how long before its first certificate the provider announces a root.
    """
    counts = Counts()
    for number in range(SITES):
        chance = random.Random(f"{strategy} {lifetime} {number}")
        opened = _OPENED[number % len(_OPENED)]
        site: Site
        if strategy == "provider's roots":
            site = ProviderSite(chance, lifetime, opened * DAY, counts, notice=notice)
        else:
            stages = strategy == "staged keys"
            site = KeySite(chance, lifetime, opened * DAY, counts, stages=stages)
        site.run(asks_the_gate=asks_the_gate)
        clients = Clients(site.story, random.Random(f"clients {strategy} {lifetime} {number}"))
        counts.clients += CLIENTS
        counts.locked_out += clients.locked_out(until=site.now)
    return counts


class Site:
    """The renewals of one server, and the versions that its operator publishes."""

    match: Match = "leaf"

    def __init__(
        self, chance: random.Random, lifetime: timedelta, opened: timedelta, counts: Counts
    ) -> None:
        self.chance, self.lifetime, self.counts = chance, lifetime, counts
        self.timing = AdoptionDelays(HOUR, 12 * HOUR, 10 * HOUR, opened, HOUR)
        self.story = Story(self.match, self.timing.adopt)
        self.now = BEGIN
        self.expires = BEGIN

    def run(self, *, asks_the_gate: bool) -> None:
        """Renew ``RENEWALS`` times."""
        self.begin()
        for _ in range(RENEWALS):
            # The renewal is due after two thirds of the lifetime, and some hours late.
            due = self.expires - self.lifetime / 3 + self.chance.random() * 8 * HOUR
            self.wait_until(due)
            self._renew(asks_the_gate=asks_the_gate)
            self.counts.renewals += 1
        self.wait_until(self.now + self.lifetime / 2)

    def _renew(self, *, asks_the_gate: bool) -> None:
        while True:
            accepted = self.attempt(asks_the_gate=asks_the_gate)
            is_last = self.now + DAY >= self.expires
            if not accepted:
                self.counts.refused += 1
                self.counts.forced += is_last
            if accepted or is_last:
                self.counts.expired += self.now >= self.expires
                self.install()
                self.expires = self.now + self.lifetime
                return
            self.wait_until(self.now + DAY)

    def begin(self) -> None:
        """Publish the first version, and install the first certificate."""
        raise NotImplementedError

    def wait_until(self, moment: datetime) -> None:
        """Let time pass. Versions that are due by then are published."""
        raise NotImplementedError

    def attempt(self, *, asks_the_gate: bool) -> bool:
        """Order a certificate. Return True if it may be installed."""
        raise NotImplementedError

    def install(self) -> None:
        """Install the certificate that was ordered last."""
        raise NotImplementedError

    def record_version(self, pins: PinSet, at: datetime) -> None:
        (policy,) = pins.policies
        self.story.versions.append((at, frozenset(pin.digest for pin in policy.live_pins)))

    def require_safe(self, situation: Situation, step: GatedStep, pin: Pin | None = None) -> None:
        """Check that the gate accepts a step of the operator."""
        found = check_step(situation, step, pin)
        if found:
            raise AssertionError(f"{step} {pin}: {found[0].problem}")


class KeySite(Site):
    """A site with pins of the server's key: it keeps the key, or changes to staged keys."""

    def __init__(
        self,
        chance: random.Random,
        lifetime: timedelta,
        opened: timedelta,
        counts: Counts,
        *,
        stages: bool,
    ) -> None:
        super().__init__(chance, lifetime, opened, counts)
        self._stages = stages
        self._keys = iter(_keys(chance.random()))
        self._current, self._next = next(self._keys), next(self._keys)
        entries = (HostPin(self._current), HostPin(self._next, "backup", "published"))
        pins = PinSet("bank", 1, (HostPolicy(HOST, entries),))
        self._situation = Situation(pins, HOST, DeployedVersions(), (), self.timing, BEGIN)
        self._chosen = self._current

    def begin(self) -> None:
        pins, situation = self._situation.pins, self._situation
        deployed = DeployedVersions((Version(pins, fetched=BEGIN, clients=CLIENTS),))
        self._situation = replace(situation, deployed=deployed)
        self.record_version(pins, BEGIN)
        self._next = next(self._keys) if self._stages else self._next
        self.install()
        self.expires = self.now + self.lifetime
        self._stage_the_next()

    def wait_until(self, moment: datetime) -> None:
        self.now = max(self.now, moment)
        self._situation = at_time(self._situation, self.now)

    def attempt(self, *, asks_the_gate: bool) -> bool:
        self._chosen = self._next if self._stages else self._current
        if not asks_the_gate or self._is_accepted(self._chosen):
            return True
        self.counts.kept += 1
        self.counts.unplanned += not self._plan_is_right()
        self._chosen = self._current
        return self._is_accepted(self._current)

    def install(self) -> None:
        is_new, self._current = self._chosen != self._current, self._chosen
        leaf = stand_in(self._current)
        vars(leaf)["not_after"] = self.now + self.lifetime
        self.story.presented.append(Presented(self.now, (self._current.digest, b"authority")))
        situation = with_state(self._situation, self._current, "active")
        served = Sighting("192.0.2.7:443", Chain((leaf, stand_in(_AUTHORITY))))
        self._situation = replace(situation, sightings=(served,))
        if is_new:
            self.counts.switched += 1
            self._next = next(self._keys)
            self._stage_the_next()

    def _stage_the_next(self) -> None:
        """Retire and remove old keys, stage the next one, and publish all that."""
        if not self._stages:
            return
        situation = with_staged(self._situation, self._next)
        active = [entry.pin for entry in situation.policy.pins if entry.state == "active"]
        for old in active:
            if old != self._current:
                self.require_safe(situation, "retire", old)
                situation = with_state(situation, old, "retiring")
                self.require_safe(situation, "remove", old)
                situation = with_state(situation, old, "removed")
        number = situation.pins.version + 1
        draft = replace(situation, pins=replace(situation.pins, version=number))
        self.require_safe(draft, "publish")
        self._situation = with_published(draft)
        self.record_version(self._situation.pins, self.now)

    def _is_accepted(self, pin: Pin) -> bool:
        prospect = Prospect(stand_in(pin), (stand_in(_AUTHORITY),))
        return not check_step(self._situation, "activate", pin, (prospect,))

    def _plan_is_right(self) -> bool:
        """Return True if the plan to the staged key asks for a renewal exactly if it is needed."""
        made = plan(self._situation, self._next)
        usable = max(step.not_before for step in made.steps if step.not_before)
        said = made.renew_by == self.expires
        return said is (usable >= self.expires) and usable > self.now


class ProviderSite(Site):
    """A site with a provider that chooses the keys of renewals; clients pin the provider's roots.

    Now and then the provider announces a root, and uses it for every certificate later.
    """

    match: Match = "ca"

    def __init__(
        self,
        chance: random.Random,
        lifetime: timedelta,
        opened: timedelta,
        counts: Counts,
        *,
        notice: timedelta,
    ) -> None:
        super().__init__(chance, lifetime, opened, counts)
        self._notice = notice
        self._pinned = [_ROOTS[0][0].pin, _AUTHORITY]  # a policy has a pin of another authority
        self._used = 0  # the number of the root that issues
        self._announced = BEGIN + 20 * DAY
        self._published = False  # the next root
        self._ordered: tuple[Certificate, ...] = ()
        self._deployed = DeployedVersions()

    def begin(self) -> None:
        self._publish()
        self._order()
        self.install()
        self.expires = self.now + self.lifetime

    def wait_until(self, moment: datetime) -> None:
        """Publish an announced root on the next working day, and let the provider begin with it."""
        seen = self._announced + self.chance.random() * 3 * DAY
        if not self._published and seen <= moment:
            self.now = max(self.now, seen)
            self._pinned += [self._root_after(count)[0].pin for count in (0, 1)]
            self._publish()
            self._published = True
        if self._announced + self._notice <= moment:
            self._used += 1
            self._announced, self._published = moment + 15 * DAY, False
        self.now = max(self.now, moment)

    def attempt(self, *, asks_the_gate: bool) -> bool:
        leaf, *above = self._order()
        roots = tuple(each.certificate.der for each, _ in _ROOTS)
        prospect = Prospect(leaf, tuple(above), sent=True, roots=roots)
        pin = Pin.of_key(leaf.spki_sha256)
        return not (asks_the_gate and check_step(self._situation(), "activate", pin, (prospect,)))

    def install(self) -> None:
        root, _ = self._root_after(0)
        path = (*self._ordered, root.certificate)
        keys = tuple(each.spki_sha256 for each in path)
        self.story.presented.append(Presented(self.now, keys))

    def _order(self) -> tuple[Certificate, ...]:
        """Return a new leaf with a new key, and one of the intermediates of the current root."""
        _, intermediates = self._root_after(0)
        chain = self.chance.choice(intermediates).issue(HOST.name).chain
        self._ordered = _read(chain)
        return self._ordered

    def _root_after(self, count: int) -> tuple[Authority, tuple[Authority, ...]]:
        return _ROOTS[(self._used + count) % len(_ROOTS)]

    def _situation(self) -> Situation:
        return Situation(self._pins(), HOST, self._deployed, (), self.timing, self.now)

    def _pins(self) -> PinSet:
        latest = self._deployed.latest
        entries = tuple(HostPin(pin, "root") for pin in dict.fromkeys(self._pinned))
        policy = HostPolicy(HOST, entries, match="ca")
        return PinSet("bank", latest.number + 1 if latest else 1, (policy,))

    def _publish(self) -> None:
        pins = self._pins()
        self._deployed = DeployedVersions(
            (*self._deployed.versions, Version(pins, fetched=self.now, clients=CLIENTS))
        )
        self.record_version(pins, self.now)


class Clients:
    """The clients of a site: the versions that each of them holds over time."""

    def __init__(self, story: Story, chance: random.Random) -> None:
        self._story, self._chance = story, chance

    def locked_out(self, until: datetime) -> int:
        """Return how many clients are ever locked out."""
        return sum(self._is_ever_locked_out(until) for _ in range(CLIENTS))

    def _is_ever_locked_out(self, until: datetime) -> bool:
        held = list(self._held())
        moments = [at for at, _ in held] + [each.at for each in self._story.presented]
        return any(
            not self._accepts(_at(held, moment), self._presented_at(moment))
            for moment in moments
            if self._story.presented[0].at <= moment < until
        )

    def _held(self) -> Iterator[tuple[datetime, frozenset[bytes]]]:
        """Yield when the client gets each version. A newer one is never replaced by an older one.

        Some clients are fast, some are as slow as the operator expects of the slowest.
        """
        latest = datetime.min.replace(tzinfo=UTC)
        for number, (at, pins) in enumerate(self._story.versions):
            kind = self._chance.random()
            share = 0.99999 if kind < 0.4 else self._chance.random()
            got = at if number == 0 else at + self._story.longest_delay * share
            latest = max(latest, got)
            yield latest, pins

    def _presented_at(self, moment: datetime) -> tuple[bytes, ...]:
        return [each.keys for each in self._story.presented if each.at <= moment][-1]

    def _accepts(self, pins: frozenset[bytes], keys: tuple[bytes, ...]) -> bool:
        return bool(pins & set(keys[:1] if self._story.match == "leaf" else keys[1:]))


def _at(held: list[tuple[datetime, frozenset[bytes]]], moment: datetime) -> frozenset[bytes]:
    return [pins for at, pins in held if at <= moment][-1]


def _keys(seed: float) -> Iterator[Pin]:
    for number in range(10_000):
        yield Pin.of_key(hashlib.sha256(f"{seed} {number}".encode()).digest())


def _read(chain: tuple[ParsedCertificate, ...]) -> tuple[Certificate, ...]:
    return Chain.from_der(each.public_bytes(Encoding.DER) for each in chain).certificates


_AUTHORITY = Pin.of_key(hashlib.sha256(b"authority").digest())


def _provider_roots() -> tuple[tuple[Authority, tuple[Authority, ...]], ...]:
    """Return the roots of a provider, each with its intermediates."""
    roots = [Authority(f"Provider Root {number}") for number in range(9)]
    return tuple(
        (root, tuple(root.intermediate(f"{name} of {number}") for name in "ABC"))
        for number, root in enumerate(roots)
    )


_ROOTS = _provider_roots()
