"""The situation of a host: the versions that clients hold, what servers present, and the time.

Everything that a decision about a rotation depends on is in a ``Situation``. ``adoption`` computes
whether every client accepts a pin. The draft is the pin file that would be published next.

A version is alive while some client may hold it. A version that clients fetch is alive until
T_adopt after a higher version was published; T_adopt is the delay until every client has a
published version. A version in a binary is alive until its owner records that it has ended, because
certpin can't see which clients still run that binary. A pin is adopted when every version that is
alive accepts it. Adoption is derived from the versions, the delays and the clock; it is never
declared.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, NoReturn

from certpin.errors import ConfigError, InputError
from certpin.pins import pins_of
from certpin.pins.hosts import join_address
from certpin.rotation.releases import release_end
from certpin.support.text import LONGEST_DURATION, format_duration, parse_duration
from certpin.x509.chain import read_facts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from collections.abc import Set as AbstractSet

    from certpin.pins import HostPattern, HostPin, HostPolicy, Pin, PinSet, Role, State
    from certpin.probe import Endpoint
    from certpin.rotation.releases import AppRelease
    from certpin.x509 import Certificate, Chain

# By how much two correct clocks may differ.
CLOCK_TOLERANCE = timedelta(minutes=5)
_CACHED_TIMES = 64
_EARLIEST = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class AdoptionDelays:
    """The delays between publishing a pin set and the time at which the last client has it.

    The defaults are safe for an app that each user opens at least once a month. Use the delays of
    your slowest app: certpin does not wait for a client that is slower than these.

    Attributes:
        cdn: how long the CDN may serve an old version.
        cache: how long a client may keep a version in its cache.
        poll: how often a client checks for a new version.
        opened: how long it takes until the last user opens the app.
        skew: by how much the clocks of clients and servers may differ.

    Raises:
        InputError: a delay is negative, or longer than ``LONGEST_DURATION``.
    """

    cdn: timedelta = timedelta(hours=1)
    cache: timedelta = timedelta(days=1)
    poll: timedelta = timedelta(days=1)
    opened: timedelta = timedelta(days=30)
    skew: timedelta = timedelta(hours=1)

    def __post_init__(self) -> None:
        for delay in fields(self):
            if not timedelta(0) <= getattr(self, delay.name) <= LONGEST_DURATION:
                raise InputError(
                    f"the delay {delay.name} is out of range",
                    fix=f"give 0s to {format_duration(LONGEST_DURATION)}",
                )

    @property
    def adopt(self) -> timedelta:
        """T_adopt, the longest time until every client has a new version: the sum of all delays.

        Each delay may begin only when the previous one ends.
        """
        return self.cdn + self.cache + self.poll + self.opened + self.skew

    def texts(self) -> dict[str, str]:
        """Return a dict from the name of each delay to its duration as text, such as ``7d``."""
        return {delay.name: format_duration(getattr(self, delay.name)) for delay in fields(self)}

    @staticmethod
    def parse(texts: dict[str, str]) -> AdoptionDelays:
        """Read delays from a dict of durations as text, such as ``7d``.

        Args:
            texts: the durations by the name of the delay. A missing delay gets its default; unknown
                names are ignored.

        Raises:
            InputError: a text is not a duration, or is out of range.
        """
        known = {delay.name for delay in fields(AdoptionDelays)}
        return AdoptionDelays(
            **{name: parse_duration(text) for name, text in texts.items() if name in known}
        )


@dataclass(frozen=True)
class Version:
    """A published version of the pin set, and when clients hold it. Every time has a zone.

    Attributes:
        pins: the pin set.
        fetched: when clients could first fetch it; ``None`` if they never could.
        bundled: when it was built into an app's binary; ``None`` if it never was.
        ended: when its owner recorded that no client holds it; ``None`` if not recorded.
        clients: how many clients hold it; ``None`` if unknown.
        pending: True if it is a signed pin set and the journal has no push (upload) of it. The
            safety rules assume that some client may hold it, although clients can't fetch it yet.
        last_reported: the last day on which a client reported that it holds the version; ``None``
            without reports.
        negligible_since: the time from which so few clients report the version that the user
            accepts their lockout (``certpin.rotation.measured``); ``None`` if there is none.
        reported: the most clients that reported it on one day of the last week; ``None`` without
            reports.
        releases: the known releases of apps that have the version in their binary.
    """

    pins: PinSet
    fetched: datetime | None = None
    bundled: datetime | None = None
    ended: datetime | None = None
    clients: int | None = None
    pending: bool = False
    last_reported: datetime | None = None
    negligible_since: datetime | None = None
    reported: int | None = None
    releases: tuple[AppRelease, ...] = ()

    @property
    def number(self) -> int:
        """The version number in its pin set."""
        return self.pins.version

    @property
    def since(self) -> datetime | None:
        """The first time at which a client could hold this version; ``None`` if none ever could."""
        return min(filter(None, (self.fetched, self.bundled)), default=None)

    @property
    def gets_updates(self) -> bool:
        """True if each client with this version also fetches later versions.

        False if an app has the version in its binary, and may fetch none.
        """
        apps = [release.updates for release in self.releases]
        return self.bundled is None or (bool(apps) and all(apps))

    def accepts(self, pattern: HostPattern, pin: Pin, draft: PinSet | None = None) -> bool:
        """Return True if clients with this version accept a pinned key at all hosts of a pattern.

        Clients accept the key at a host if the version's policy for the host has the pin or only
        reports, or if the version has no policy for the host. Not checked: the position in the
        chain that may match (``match``), and expiry.

        Args:
            pattern: the host pattern, which the version need not have.
            pin: the pin of the key.
            draft: the pin set that has the policy for ``pattern``. Hosts of the pattern that
                another policy of this pin set covers are left out.
        """
        return all(
            policy is None or policy.mode == "report" or pin in policy.live_pins
            for policy in self.pins.policies_at(pattern, draft)
        )


@dataclass(frozen=True)
class DeployedVersions:
    """Every version of the pin set that was ever published.

    Two different pin sets with the same number are two versions: clients may hold either.

    Attributes:
        versions: the versions.
        reporting: the most clients that reported any version on one day of the last week; ``None``
            without reports.
        endless: True if versions end only when the journal says so, and never because of a date;
            clients also compare pins that have expired (``Situation.in_force``). This is for
            decisions that must not rely on this machine's clock.
    """

    versions: tuple[Version, ...] = ()
    reporting: int | None = None
    endless: bool = False

    @property
    def latest(self) -> Version | None:
        """The version with the highest number; ``None`` if none was published."""
        return max(self.versions, key=lambda version: version.number, default=None)

    def next_number(self, draft: PinSet) -> int:
        """Return the version number under which a pin file can be published.

        The result is the number in the pin file, if that is higher than the number of every
        published version. Otherwise it is the highest published number plus one. ``draft`` is the
        content of the pin file.
        """
        latest = self.latest
        return draft.version if latest is None else max(draft.version, latest.number + 1)

    def end_of_life(self, version: Version, timing: AdoptionDelays) -> datetime | None:
        """Return the first time at which no client holds this version; ``None`` if unknown.

        The expected end is recorded in the journal, or computed from ``timing``, the delays of the
        clients. Reports of clients can change the end:

        - it is earlier if so few clients report the version that the user accepts their lockout;
        - if a client reports the version after the expected end, clients are slower than the
          delays, and the end is T_adopt (the sum of the delays) after the last report.
        """
        if self.endless:
            return version.ended
        end = self._expected_end(version, timing)
        if version.negligible_since is not None:
            return version.negligible_since if end is None else min(end, version.negligible_since)
        if version.last_reported is None or not self.is_overdue(version, timing):
            return end
        if version.bundled is not None or self.superseded_at(version) is None:
            return None
        return version.last_reported + timing.adopt

    def is_overdue(self, version: Version, timing: AdoptionDelays) -> bool:
        """Return True if a client reported this version after its expected end of life.

        The expected end is recorded in the journal, or computed from ``timing``, the delays of the
        clients.
        """
        end = self._expected_end(version, timing)
        last = version.last_reported
        return end is not None and last is not None and last >= end

    def superseded_at(self, version: Version) -> datetime | None:
        """Return when clients that fetch this version could first fetch a higher version instead.

        ``None`` if clients can't fetch this version, or can't fetch a higher one.
        """
        if version.fetched is None:
            return None
        first = self._first_above(version)
        return None if first is None else max(first, version.fetched)

    def is_fetched_now(self, version: Version) -> bool:
        """Return True if no later version replaces this one for the clients that fetch versions.

        These clients then hold it without an end. Versions that only an app's binary contains, and
        signed versions that wait for their push (upload), replace none.
        """
        return version.fetched is not None and self.superseded_at(version) is None

    def _expected_end(self, version: Version, timing: AdoptionDelays) -> datetime | None:
        """Return the time at which the last client leaves a version, without considering reports.

        The time is recorded in the journal, or computed from ``timing``, the delays of the clients.
        ``None`` if unknown.
        """
        if version.ended is not None:
            return version.ended
        out, ends = self.superseded_at(version), []
        if version.fetched is not None:
            ends.append(out + timing.adopt if out else None)
        if version.bundled is not None:
            ends += self._binary_ends(version, timing) or [None]
        known = [end for end in ends if end is not None]
        return max(known, default=None) if len(known) == len(ends) else None

    def _binary_ends(self, version: Version, timing: AdoptionDelays) -> list[datetime | None]:
        """Return, for each app release with this version, when its last client has another version.

        A time is ``None`` if it is unknown. ``timing`` has the delays of the clients.
        """
        releases = [each for known in self.versions for each in known.releases]
        first = self._first_above(version)
        return [release_end(each, releases, first, timing.adopt) for each in version.releases]

    def _first_above(self, version: Version) -> datetime | None:
        """Return when clients could first fetch a version with a higher number; ``None`` if never.

        A version that still waits for its push (the upload of a signed pin set) doesn't count.
        """
        numbers, first = self._first_from
        at = bisect_right(numbers, version.number)
        return first[at] if at < len(first) else None

    @cached_property
    def fetchable(self) -> dict[int, list[tuple[datetime, Version]]]:
        """The versions that clients can fetch, or could fetch once, as a dict by version number.

        Each number has a list of pairs, the earliest first: the time from which clients can fetch
        the version, and the version. There are several pairs if different pin sets were published
        under one number. The dict saves a search in a journal with thousands of versions.
        """
        found: dict[int, list[tuple[datetime, Version]]] = {}
        for each in self.versions:
            if each.fetched is not None and not each.pending:
                found.setdefault(each.number, []).append((each.fetched, each))
        for same in found.values():
            same.sort(key=lambda pair: pair[0])
        return found

    @cached_property
    def _first_from(self) -> tuple[list[int], list[datetime]]:
        """Two lists of equal length: the numbers in ``fetchable``, ascending; and a time for each.

        The time is when clients could first fetch a version with this number or a higher one.
        """
        numbers = sorted(self.fetchable)
        times = (self.fetchable[number][0][0] for number in reversed(numbers))
        return numbers, list(accumulate(times, min))[::-1]

    def alive(self, at: datetime, timing: AdoptionDelays) -> tuple[Version, ...]:
        """Return the versions that some client may hold at the time ``at``, lowest number first.

        ``timing`` has the delays of the clients. The last results are cached, because many rules
        need the versions of the same time.
        """
        return self._alive(at, timing)

    @cached_property
    def _alive(self) -> Callable[[datetime, AdoptionDelays], tuple[Version, ...]]:
        return lru_cache(maxsize=_CACHED_TIMES)(self._find_alive)

    def _find_alive(self, at: datetime, timing: AdoptionDelays) -> tuple[Version, ...]:
        found = [version for version in self.versions if self._is_alive(version, at, timing)]
        return tuple(sorted(found, key=lambda version: version.number))

    def with_version(self, pins: PinSet, at: datetime) -> DeployedVersions:
        """Return a copy with one more version, which clients can fetch from the time ``at`` on.

        ``pins`` is the pin set of this version.
        """
        return replace(self, versions=(*self.versions, Version(pins, fetched=at)))

    def _is_alive(self, version: Version, at: datetime, timing: AdoptionDelays) -> bool:
        since, until = version.since, self.end_of_life(version, timing)
        return since is not None and since <= at and (until is None or at < until)


# What servers presented: to a probe now, or earlier in the journal.
#
# ``Sighting`` is the answer of one server to a probe. The journal keeps a ``ServerObservation`` of
# it, so that a server that was seen once is not forgotten. ``ServerDate`` compares the clock of a
# server with that of this machine, and ``TimeEvidence`` has all facts about the time of a step.


@dataclass(frozen=True)
class ServerDate:
    """The time that a server reported in the header ``Date`` (RFC 9110 section 6.6.1).

    Attributes:
        source: the name or address of the server, for messages.
        date: the time that the server reported, to the second.
        local: the time of this machine when the response arrived.
    """

    source: str
    date: datetime
    local: datetime

    @property
    def difference(self) -> timedelta:
        """The absolute difference between the clocks of the server and of this machine."""
        return abs(self.date - self.local)


@dataclass(frozen=True)
class TimeEvidence:
    """Facts that confirm or contradict this machine's clock when a step of a rotation is taken.

    Attributes:
        newest: the time of the newest entry of the journal; ``None`` if it has none.
        entry: the step of that entry and the person who took it, as text; empty without an entry.
        dates: the times of servers, over connections with verified chains.
        hints: the times of servers without a verified chain. They prove nothing.
        contacted: True if at least one server of any host in the pin file answered.
        silent: the host of ``fetch_url``, from which clients fetch signed sets, if it was asked and
            gave no time over a connection with a verified chain; else empty.
    """

    newest: datetime | None = None
    entry: str = ""
    dates: tuple[ServerDate, ...] = ()
    hints: tuple[ServerDate, ...] = ()
    contacted: bool = False
    silent: str = ""

    @property
    def doubts(self) -> tuple[ServerDate, ...]:
        """The times of servers without a verified chain that differ from this machine's clock.

        They prove nothing, but may show that this machine's clock is wrong: then valid chains don't
        verify. Empty if a server with a verified chain reported its time, which is a proof.
        """
        wrong = (each for each in self.hints if each.difference > CLOCK_TOLERANCE)
        return () if self.dates else tuple(wrong)

    @property
    def confirmed(self) -> bool:
        """True if the time of a server with a verified chain agrees with this machine's clock.

        A difference of ``CLOCK_TOLERANCE`` is allowed.
        """
        return any(each.difference <= CLOCK_TOLERANCE for each in self.dates)


@dataclass(frozen=True)
class Sighting:
    """The result of probing one server: the certificates that it presented.

    Attributes:
        vantage: the server that was probed, as a description for messages, such as its address.
        chain: the path from leaf to root that was verified with the anchors of the draft (the pin
            file); ``None`` if verification failed.
        served: the certificates that the server sent. Without a verified path they may be an
            attacker's.
        server: the name of the server in the journal (``server_name``); empty if the certificates
            are from a file.
        problem: why OpenSSL refused the chain; empty if it was verified.
        date: the time that the server reported; ``None`` if it reported none. It proves nothing if
            ``chain`` is ``None``.
        host: the name for which the certificate has to be valid; empty if it is unknown.
        time: when the server presented the chain; ``None`` for the time of the situation.
    """

    vantage: str
    chain: Chain | None
    served: Chain | None = None
    server: str = ""
    problem: str = ""
    date: ServerDate | None = None
    host: str = ""
    time: datetime | None = None

    @property
    def pins(self) -> frozenset[Pin]:
        """The pins (of key and of certificate) of every certificate in the verified path."""
        return _pins(self.chain)

    @property
    def unverified(self) -> frozenset[Pin]:
        """The pins of the certificates that the server sent; empty if a path was verified."""
        return frozenset() if self.chain else _pins(self.served)

    @property
    def leaf(self) -> Pin | None:
        """The pin of the key of the server's own certificate; ``None`` if it sent none."""
        return self._leaf_pins[0]

    @property
    def certificate(self) -> Pin | None:
        """The pin of the server's own certificate (``cert-sha256``); ``None`` if it sent none."""
        return self._leaf_pins[1]

    @property
    def _leaf_pins(self) -> tuple[Pin, Pin] | tuple[None, None]:
        chain = self.chain or self.served
        return pins_of(chain.certificates[0]) if chain and chain.certificates else (None, None)


@dataclass(frozen=True)
class ServerObservation:
    """The key that a server presented when it was contacted, as the journal records it.

    Attributes:
        host: the pattern of the policy for which the server was contacted.
        server: the name of the server, from ``server_name``, such as ``api.bank.example:443``.
        time: when the server was contacted.
        leaf: the pin of the key of the server's leaf certificate; ``None`` if the server sent no
            certificate.
        problem: the reason why the chain did not verify; empty if it did.
    """

    host: HostPattern
    server: str
    time: datetime
    leaf: Pin | None
    problem: str = ""


def server_name(endpoint: Endpoint, pattern: HostPattern) -> str:
    """Return the name of a server in the journal: its address in the pin file, with the port.

    ``endpoint`` is the server as it was contacted, and ``pattern`` the pattern of its policy. If
    the TLS name (the name that the certificate must have) is neither that address nor the host of
    the pattern, the name comes first, as in ``www.bank.example at 192.0.2.7:443``. This happens
    with a wildcard pattern and ``--connect``. All IP addresses of a host name count as one server
    in the journal, because DNS can replace them at any time.
    """
    host, port = endpoint.server
    address = join_address(host, port)
    return address if endpoint.name in {host, pattern.name} else f"{endpoint.name} at {address}"


# A stolen or lost key can have several pins: its own, and one (``cert-sha256``) for each of its
# certificates. They are connected by the certificates that are known. These need not be verified:
# that a certificate has a key and a fingerprint follows from its content.


def pins_by_key(pairs: Iterable[tuple[Pin, Pin]]) -> dict[Pin, frozenset[Pin]]:
    """Return all pins of the same key for each pin of the given certificates.

    ``pairs`` has the pins of each certificate: that of its key, and its own (``pins_of``).
    """
    by_key: dict[Pin, set[Pin]] = {}
    for key, certificate in pairs:
        by_key.setdefault(key, {key}).add(certificate)
    found: dict[Pin, frozenset[Pin]] = {}
    for pins in map(frozenset, by_key.values()):
        for pin in pins:
            found[pin] = pins | found[pin] if pin in found else pins
    return found


def with_same_keys(
    pins: AbstractSet[Pin], same_keys: Mapping[Pin, frozenset[Pin]]
) -> frozenset[Pin]:
    """Return pins, and all other pins of the same keys. ``same_keys`` is from ``pins_by_key``."""
    return frozenset(pins).union(*(same_keys.get(pin, ()) for pin in pins))


def _pins(chain: Chain | None) -> frozenset[Pin]:
    certificates = chain.certificates if chain else ()
    return frozenset(pin for certificate in certificates for pin in pins_of(certificate))


# The situation of a host, and whether its clients accept a pin.


@dataclass(frozen=True)
class PinHistory:
    """The states of one host's pins according to the journal.

    Attributes:
        states: the last state of each pin.
        known: pins of keys that the owner generated, or added to the pin file.
        compromised: pins of compromised keys, at this host or at another.
        lost: pins of keys that no longer exist, at this host or at another.
        same_keys: for each pin of the certificates that servers of any host presented, all pins of
            the same key (``pins_by_key``).
    """

    states: dict[Pin, State] = field(default_factory=dict)
    known: frozenset[Pin] = frozenset()
    compromised: frozenset[Pin] = frozenset()
    lost: frozenset[Pin] = frozenset()
    same_keys: Mapping[Pin, frozenset[Pin]] = field(default_factory=dict)

    @cached_property
    def all_compromised(self) -> frozenset[Pin]:
        """The pins in ``compromised``, and all other pins of the same keys (``same_keys``)."""
        return with_same_keys(self.compromised, self.same_keys)

    @cached_property
    def all_lost(self) -> frozenset[Pin]:
        """The pins in ``lost``, and all other pins of the same keys (``same_keys``)."""
        return with_same_keys(self.lost, self.same_keys)


@dataclass(frozen=True)
class Situation:
    """The facts about one host on which a decision about a rotation depends.

    Attributes:
        pins: the draft: the pin file that would be published next.
        pattern: the host pattern of the policy in the draft that the decision is about.
        deployed: every version that was published.
        sightings: the results of probing the host's servers; empty if no server was probed.
        timing: the delays of the clients.
        now: the current time, with a zone.
        past: the states of the host's pins according to the journal.
        observed: the last observation of each server in the journal, for all hosts.
        evidence: the facts that confirm or contradict this machine's clock; ``None`` if the clock
            is not checked, as in a plan.
        roots: the roots, as DER, that clients trust if their policy has no anchors; empty if they
            are unknown.
        release: the release of an app that will bring the draft to clients; ``None`` if clients
            fetch it.
        key_files: the names of key files in the current folder, so that no printed command makes a
            key in a file that exists.

    Raises:
        ConfigError: the draft has no policy with this pattern.
    """

    pins: PinSet
    pattern: HostPattern
    deployed: DeployedVersions
    sightings: tuple[Sighting, ...]
    timing: AdoptionDelays
    now: datetime
    past: PinHistory = PinHistory()
    observed: tuple[ServerObservation, ...] = ()
    evidence: TimeEvidence | None = None
    roots: tuple[bytes, ...] = ()
    release: AppRelease | None = None
    key_files: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.pins.policy_of(self.pattern) is None:
            raise ConfigError(
                f"there is no policy with the name {self.pattern}",
                key="host",
                fix="write the name as in the pin file",
            )

    @property
    def policy(self) -> HostPolicy:
        """The policy for the host pattern in the draft (the pin file)."""
        policy = self.pins.policy_of(self.pattern)
        assert policy is not None  # noqa: S101  # checked when the situation is made
        return policy

    @property
    def alive(self) -> tuple[Version, ...]:
        """The versions of the pin set that some client may hold now, lowest number first."""
        return self.deployed.alive(self.now, self.timing)

    def is_pinned(self, pin: Pin) -> bool:
        """Return True if a version that some client may hold pins this key for the host.

        The pin must be one that clients accept, and so not marked removed or compromised.
        """
        return any(policy and pin in policy.live_pins for policy in self.held_policies)

    def is_accepted_by(self, version: Version, pin: Pin) -> bool:
        """Return True if clients with a version accept a pinned key at all hosts of this situation.

        See ``Version.accepts``, which has the conditions.
        """
        return version.accepts(self.pattern, pin, self.pins)

    def policies_of(self, version: Version) -> tuple[HostPolicy | None, ...]:
        """Return the policies that a version of the pin set has for this situation's hosts.

        The hosts are those of ``pattern``, without hosts that another policy of the draft (the pin
        file) covers. There can be several policies if the version has other patterns than the
        draft: for example, the draft has a wildcard, and the version has a policy for one host of
        the wildcard.

        Returns:
            Each policy once; ``None`` among them if the version has no policy for some of the
            hosts.
        """
        return version.pins.policies_at(self.pattern, self.pins)

    @property
    def published_now(self) -> Version:
        """The version that the draft (the pin file) becomes if it is published to clients now."""
        if self.release is None:
            return Version(self.pins, fetched=self.now)
        return Version(self.pins, bundled=self.now, releases=(self.release,))

    @property
    def slowest_clock(self) -> datetime:
        """The earliest time that the clock of a client may show: ``now``, less the delay ``skew``.

        If a decision must not rely on this machine's clock (``DeployedVersions.endless``), any time
        is possible, and this is the earliest ``datetime``.
        """
        return _EARLIEST if self.deployed.endless else self.now - self.timing.skew

    def in_force(self, policy: HostPolicy | None) -> HostPolicy | None:
        """Return a policy as the client with the slowest clock applies it.

        If pins expire, clients compare them no longer: they refuse every server, or none
        (``on_expiry``). If a list of logs is too old, they require no SCTs. But a client with a
        clock that is behind still does both. In the result, pins that have not expired by
        ``slowest_clock`` never expire, and a list of logs that is not too old by then never becomes
        too old.

        Args:
            policy: the policy of a version, or of the draft; ``None`` for clients without one.
        """
        if policy is None:
            return None
        slowest, logs = self.slowest_clock, policy.ct_logs
        if policy.expired(self.now) and not policy.expired(slowest):
            policy = replace(policy, expires=None)
        if logs is not None and logs.stale(self.now) and not logs.stale(slowest):
            policy = replace(policy, ct_logs=replace(logs, timestamp=self.now))
        return policy

    @property
    def held_policies(self) -> list[HostPolicy | None]:
        """The policies of every version that some client may hold (``policies_of``).

        ``None`` is among them if a version has no policy for some of the hosts.
        """
        return [each for version in self.alive for each in self.policies_of(version)]

    @property
    def live_policies(self) -> list[HostPolicy | None]:
        """The policy in the pin file, and those in every version that some client may hold.

        ``None`` is among them if a version has no policy for some of the hosts.
        """
        return [self.policy, *self.held_policies]

    @property
    def is_unpinned(self) -> bool:
        """True if no version that some client may hold has a policy for a host of this situation.

        The safety rules then find no client that refuses a key: clients without a policy for a host
        don't compare pins there, and strict clients refuse the host with every key. But no rule can
        know the pins of apps with another version. False if no client holds a version.
        """
        return bool(self.alive) and not any(self.held_policies)

    def entry(self, pin: Pin) -> HostPin | None:
        """Return a pin's entry in the pin file, with role and state; ``None`` if it has none."""
        return next((entry for entry in self.policy.pins if entry.pin == pin), None)

    def role_of(self, pin: Pin) -> Role:
        """Return the role in a chain that a pin's key has when servers use the key.

        This is the role in the pin file, with one exception: for a backup, and for a pin without an
        entry in the pin file, it is ``intermediate`` if clients compare only authorities (``match =
        "ca"``), and ``leaf`` otherwise.
        """
        entry = self.entry(pin)
        if entry is not None and entry.role != "backup":
            return entry.role
        return "intermediate" if self.policy.match == "ca" else "leaf"

    @property
    def usable(self) -> frozenset[Pin]:
        """The pins in the pin file that clients accept, and with keys neither lost nor stolen.

        Servers use some of these keys now, and can use the others later.
        """
        usable = frozenset(entry.pin for entry in self.policy.pins if entry.usable)
        return usable - self.lost - self.compromised

    @cached_property
    def compromised(self) -> frozenset[Pin]:
        """The pins of compromised keys, according to the journal or the draft, at any host.

        The draft counts, too, because a person may mark a stolen key in the pin file and not record
        it. The pins of known certificates with such a key are included (``with_same_keys``).
        """
        return self._with_same_keys(self.past.compromised | self.pins.compromised)

    @cached_property
    def lost(self) -> frozenset[Pin]:
        """The pins of lost keys, according to the journal, at any host.

        The pins of known certificates with such a key are included (``with_same_keys``), and those
        of stolen keys are not.
        """
        return self._with_same_keys(self.past.lost) - self.compromised

    def _with_same_keys(self, pins: frozenset[Pin]) -> frozenset[Pin]:
        """Return ``pins``, and the other known pins of the same keys.

        Pins of certificates are added only if a policy has them.
        """
        if not pins:
            return pins
        pinned, found = self.pinned, self.same_keys(pins)
        return pins.union(each for each in found if each.kind == "sha256" or each in pinned)

    def same_keys(self, pins: AbstractSet[Pin]) -> frozenset[Pin]:
        """Return ``pins``, and all other known pins of the same keys, whether pinned or not.

        Known are the certificates that servers present now, or presented when the journal recorded
        it, and the trust anchors.
        """
        if not pins:
            return frozenset()
        now, before = self._same_keys_now, self.past.same_keys
        # Twice, because either may have the only certificate that connects a pin with the key.
        return with_same_keys(with_same_keys(with_same_keys(pins, now), before), now)

    @cached_property
    def _same_keys_now(self) -> dict[Pin, frozenset[Pin]]:
        return pins_by_key(map(pins_of, self.certificates))

    def pairs_of_key(self, pin: Pin) -> list[tuple[Pin, Pin]]:
        """Return the pins of each known certificate of a key: that of the key, and its own.

        ``pin`` is the pin of the key, or of one of its certificates.
        """
        same = sorted(self.same_keys({pin}), key=str)
        keys = [each for each in same if each.kind == "sha256"]
        return [(key, each) for key in keys for each in same if each.kind == "cert-sha256"]

    @property
    def pinned(self) -> frozenset[Pin]:
        """The pins, in any state, of all ``live_policies``."""
        policies = filter(None, self.live_policies)
        return frozenset(entry.pin for policy in policies for entry in policy.pins)

    @cached_property
    def certificates(self) -> frozenset[Certificate]:
        """The known certificates: those that servers presented, and the trust anchors."""
        chains = [each for seen in self.sightings for each in (seen.chain, seen.served) if each]
        anchors = (read_facts(der).certificate for der in self.anchors)
        return frozenset(filter(None, anchors)).union(*(each.certificates for each in chains))

    @property
    def anchors(self) -> frozenset[bytes]:
        """The trust anchors in the files of ``trust``, as DER.

        They are those of all policies in the draft and in the versions that some client may hold.
        """
        return self.pins.anchors.union(*(each.pins.anchors for each in self.alive))

    @property
    def served(self) -> frozenset[Pin]:
        """The pins of all certificates in the verified paths of all probed servers."""
        return frozenset(pin for sighting in self.sightings for pin in sighting.pins)

    @property
    def all_verified(self) -> bool:
        """True if servers were probed, and each presented a chain that verifies.

        Otherwise a server may use a key that no verified path shows.
        """
        return bool(self.sightings) and all(each.chain for each in self.sightings)

    def serving(self, pin: Pin) -> tuple[str, ...]:
        """Return the probed servers that have this pin's key or certificate in a verified path.

        Each server is given by its description, such as its address.
        """
        return tuple(sighting.vantage for sighting in self.sightings if pin in sighting.pins)


@dataclass(frozen=True)
class Adoption:
    """Whether every client accepts a pin, and since when.

    Attributes:
        pin: the pin.
        adopted: True if every version that some client may hold accepts the pin; False also if no
            client holds a version.
        moment: when the pin was adopted, or when it will be if nothing else is published. ``None``
            if that is unknown: the pin is not published, or the version in an app's binary does not
            accept it.
        refusing: the versions that some client may hold and that do not accept the pin.
    """

    pin: Pin
    adopted: bool
    moment: datetime | None
    refusing: tuple[Version, ...] = ()

    def __bool__(self) -> NoReturn:
        raise TypeError("an adoption has no truth value: use its attribute adopted")


def adoption(situation: Situation, pin: Pin) -> Adoption:
    """Compute whether, and when, every version that some client may hold accepts a pin.

    A version accepts a pin if its policies for the hosts have the pin or only report, or if it has
    no policy for them. If clients may hold no version, the pin is not adopted, and the time is
    unknown. This says nothing about a whole chain, which `certpin.rotation.prospect` checks.
    """
    deployed, timing, alive = situation.deployed, situation.timing, situation.alive
    refusing = tuple(version for version in alive if not situation.is_accepted_by(version, pin))
    if refusing or not alive:
        moment = last_end(situation, refusing) if refusing else None
        return Adoption(pin, adopted=False, moment=moment, refusing=refusing)
    judged = [(each, situation.is_accepted_by(each, pin)) for each in deployed.versions]
    accepting = [version.since for version, accepts in judged if accepts]
    ended = [deployed.end_of_life(version, timing) for version, accepts in judged if not accepts]
    first = min(filter(None, accepting), default=None)
    since = max(filter(None, (first, *ended)), default=None)
    return Adoption(pin, adopted=True, moment=since)


def last_end(situation: Situation, versions: Iterable[Version]) -> datetime | None:
    """Return the first time at which no client holds any of ``versions``; ``None`` if unknown.

    The result is also ``None`` if there are no versions.
    """
    ends = [situation.deployed.end_of_life(each, situation.timing) for each in versions]
    known = [end for end in ends if end is not None]
    return max(known, default=None) if len(known) == len(ends) else None
