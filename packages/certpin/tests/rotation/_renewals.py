"""Simulate a thousand certificate renewals with the rotation gate, and the clients they affect.

The gate (``check_step``) decides whether servers may present a certificate. Each site renews its
certificate again and again, as an ACME client with certpin's hook does: after two thirds of the
lifetime it tries once a day, and installs only certificates that the gate accepts. If the gate
refuses the last attempt before the expiry, the operator installs the certificate with ``--force``.

Afterwards ``Clients`` checks the recorded history: each client fetches each pin set after a random
delay, and compares hashes. That part has no code in common with the gate.
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
_AUTHORITY_DAYS = 20 * 365  # longer than a simulation
_NOTICE = 90 * DAY  # between a provider's announcement of a root and its first certificate


@dataclass(frozen=True)
class Presented:
    """A chain that the servers present from time ``at`` on: the hashes of its keys, leaf first."""

    at: datetime
    keys: tuple[bytes, ...]


@dataclass
class Story:
    """The history of one site: the published versions of its pin set, and the chains it presented.

    It has only times and hashes, which are all that the simulated clients need.
    """

    match: Match
    longest_delay: timedelta
    versions: list[tuple[datetime, frozenset[bytes]]] = field(default_factory=list)
    presented: list[Presented] = field(default_factory=list)


@dataclass
class Counts:
    """The numbers that a simulation of many renewals counts.

    Attributes:
        renewals: all renewals.
        switched: renewals that changed to the staged key, the one prepared for the next change.
        kept: renewals for which not all clients had the staged key yet, so that the key stayed.
        unplanned: those of ``kept`` for which ``plan`` was wrong about whether the certificate has
            to be renewed before the staged key is usable.
        refused: attempts that the gate refused.
        expired: certificates that expired because the gate refused the next one.
        forced: uses of ``--force``.
        clients: all clients.
        locked_out: clients that were locked out at any time.
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
    """Run the renewals of all sites, check which clients they lock out, and return the numbers.

    Args:
        strategy: whether renewals reuse the key, change to staged keys, or get keys below roots
            that the clients pin.
        lifetime: the lifetime of each certificate.
        asks_the_gate: False to install every certificate without a check; some clients are then
            locked out, which shows that the simulation detects it.
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
    """One simulated site, which renews its server's certificate and publishes versions of its pins.

    Args:
        chance: the source of random numbers.
        lifetime: the lifetime of each certificate.
        opened: the longest time for which users leave the app closed.
        counts: the numbers to update.
    """

    match: Match = "leaf"

    def __init__(
        self, chance: random.Random, lifetime: timedelta, opened: timedelta, counts: Counts
    ) -> None:
        self.chance, self.lifetime, self.counts = chance, lifetime, counts
        self.timing = AdoptionDelays(HOUR, 12 * HOUR, 10 * HOUR, opened, HOUR)
        self.story = Story(self.match, self.timing.adopt)
        self.now = BEGIN
        self.expires = BEGIN
        self._asks_the_gate = True

    def run(self, *, asks_the_gate: bool) -> None:
        """Renew the certificate ``RENEWALS`` times.

        Args:
            asks_the_gate: False to install each certificate without a check by the gate.
        """
        self._asks_the_gate = asks_the_gate
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
        """Advance the site's clock to a moment, and publish the versions that are due by then."""
        raise NotImplementedError

    def attempt(self, *, asks_the_gate: bool) -> bool:
        """Order a certificate. Return True if the gate accepts it, or if the gate is not used."""
        raise NotImplementedError

    def install(self) -> None:
        """Install the certificate that was ordered last."""
        raise NotImplementedError

    def record_version(self, pins: PinSet, at: datetime) -> None:
        (policy,) = pins.policies
        self.story.versions.append((at, frozenset(pin.digest for pin in policy.live_pins)))

    def require_safe(self, situation: Situation, step: GatedStep, pin: Pin | None = None) -> None:
        """Raise AssertionError if the gate refuses a step of the operator, such as "publish".

        Clients that refuse the served chain are expected if certificates are installed unchecked.
        """
        found = [
            each
            for each in check_step(situation, step, pin)
            if self._asks_the_gate or each.invariant != "served-chain"
        ]
        if found:
            raise AssertionError(f"{step} {pin}: {found[0].problem}")


class KeySite(Site):
    """A site where clients pin the server's key. Renewals reuse it or change to a staged key."""

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
        """Publish a version of the pin set without the old keys, and with the next staged key.

        The gate has to accept each step. Do nothing if the site always reuses its key.
        """
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
        """Return True if ``plan`` is right about the change to the staged key.

        The plan has to demand a renewal of the current certificate exactly if the certificate
        expires before the staged key is usable.
        """
        made = plan(self._situation, self._next)
        usable = max(step.not_before for step in made.steps if step.not_before)
        said = made.renew_by == self.expires
        return said is (usable >= self.expires) and usable > self.now


class ProviderSite(Site):
    """A site with clients that pin a provider's roots. The provider chooses each renewal's key.

    From time to time the provider announces a new root, and later issues all certificates below it.
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
        """Advance the clock to a moment. The operator and the provider act on announced roots.

        The operator publishes pins of an announced root within three days. The provider begins to
        issue below the root after its notice period.
        """
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
        """Return the chain of a new certificate: a leaf with a new key, then an intermediate.

        The intermediate is one of those below the provider's current root.
        """
        _, intermediates = self._root_after(0)
        issuer = self.chance.choice(intermediates).at(self.now)
        chain = issuer.issue(HOST.name, days=self.lifetime / DAY).chain
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
    """The clients of a site, replayed from its history: which version each has at which time.

    Args:
        story: the site's history.
        chance: the source of random numbers for the clients' delays.
    """

    def __init__(self, story: Story, chance: random.Random) -> None:
        self._story, self._chance = story, chance

    def locked_out(self, until: datetime) -> int:
        """Return the number of clients that are locked out at any time before ``until``."""
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
        """Yield when one client gets each version: pairs of the time and the version's pin hashes.

        The delays are random; 40 % of them are nearly as long as the longest one that the operator
        expects. A newer version is never replaced by an older one.
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
    """Return nine roots of a provider, each with its three intermediates."""
    roots = [
        Authority(f"Provider Root {number}", now=BEGIN, days=_AUTHORITY_DAYS) for number in range(9)
    ]
    return tuple(
        (
            root,
            tuple(
                Authority(f"{name} of {number}", issuer=root, days=_AUTHORITY_DAYS)
                for name in "ABC"
            ),
        )
        for number, root in enumerate(roots)
    )


_ROOTS = _provider_roots()
