"""Read the state of the monitored servers from the store, for the alert rules.

A change that only one probe saw is left out (``debounce``). The result, ``ProbeEvidence``, has a
``PolicyEvidence`` for each monitored policy, with a ``ServerView`` for each server, address and
location.
"""

from __future__ import annotations

import shlex
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from certpin.errors import CertificateParseError
from certpin.pins import Pin
from certpin.probe import Endpoint, endpoint_at, join_address, served_at
from certpin.rotation import Sighting, Situation
from certpin.x509 import Certificate
from certpin.x509.chain import public_roots
from certpin_watch.monitor.sightings import debounce
from certpin_watch.monitor.targets import monitored_policies
from certpin_watch.settings import MonitorSettings
from certpin_watch.store.chains import read_certificates
from certpin_watch.store.probes import (
    awaited_since,
    logged_since,
    probed_locations,
    sightings_between,
)
from certpin_watch.store.queries import to_datetime
from certpin_watch.store.queries.chains import load_chains

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlalchemy import Connection

    from certpin.pins import HostPolicy
    from certpin.rotation import Version
    from certpin.x509 import Chain
    from certpin_watch.context import Watch
    from certpin_watch.monitor.sightings import ConfirmedSighting
    from certpin_watch.monitor.targets import MonitoredPolicy, Target
    from certpin_watch.store.probes import ProbeKey, SightingRow

_LONG_AGO = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True)
class ServerView:
    """The state of a monitored server, as one location observes it at one address.

    A location is a machine that probes hosts.

    Attributes:
        target: the host and port, and how to connect to them.
        vantage: the name of the location.
        outcome: "verified", "unverified" (OpenSSL refuses the chain), "unreachable", or
            "no-starttls" (the server declined TLS, or sent bytes in clear text before it).
        edge: the probed address, if each address of the host is probed separately; else empty.
        address: the address that the last probe connected to.
        served: the chain that the server sends; None if it is unknown.
        verified: the certification path that OpenSSL verified; None if there is none.
        problem: the reason if ``outcome`` is not "verified".
        code: OpenSSL's error number if the chain does not verify.
        since: when the current state was first observed.
        last: when it was last observed.
        before: the last earlier verified chain that differs from the current one; None if there is
            none.
        changed: when the current chain was first observed after ``before``.
    """

    target: Target
    vantage: str
    outcome: str
    edge: str = ""
    address: str = ""
    served: Chain | None = None
    verified: Chain | None = None
    problem: str = ""
    code: int = 0
    since: datetime = _LONG_AGO
    last: datetime = _LONG_AGO
    before: Chain | None = None
    changed: datetime = _LONG_AGO

    @property
    def sent_chain(self) -> bool:
        """True if the server began TLS and sent a chain, which OpenSSL verified or refused.

        False if the server was unreachable, or declined STARTTLS.
        """
        return self.outcome in {"verified", "unverified"}

    @property
    def name(self) -> str:
        """The server as text for messages: host and port.

        If each address of the host is probed separately, or the probe connects to an address that
        is not the host's, the text contains the address, too.
        """
        name = join_address(self.target.host, self.target.port)
        connected = self.edge or (join_address(*self.target.connect) if self.target.connect else "")
        return f"{name} at {connected}" if connected else name

    @property
    def where(self) -> str:
        """The server, and the location from which it is probed, as text for messages."""
        return f"{self.name} from {self.vantage}"

    @property
    def options(self) -> list[str]:
        """The command-line options that make ``certpin check`` connect to the same server."""
        target = self.target
        host = join_address(target.host, target.port)
        return ["--host", host, *target.connect_options(self.edge)]


@dataclass(frozen=True)
class PolicyEvidence:
    """A host policy (the pins of a host pattern), and the state of each server that it covers.

    Attributes:
        monitored: the policy, with its pin set and the targets of probes.
        views: the states of the servers at each address and from each location. There are several
            if a server alternates between states.
        settings: the settings of the monitor.
        now: the time for which the rules are evaluated.
    """

    monitored: MonitoredPolicy
    views: tuple[ServerView, ...]
    settings: MonitorSettings
    now: datetime

    @property
    def policy(self) -> HostPolicy:
        """The pins of the host pattern and their settings, from the pin file.

        If the pin file no longer has a policy for the host pattern, this is the policy in the
        newest version that clients may still hold.
        """
        return self.monitored.policy

    @cached_property
    def live_versions(self) -> tuple[Version, ...]:
        """The versions of the pin set that clients may still hold."""
        return self.monitored.pin_set.alive(self.now)

    @cached_property
    def named_pins(self) -> frozenset[Pin]:
        """The pins in the pin file, in versions that clients may hold, and in the journal.

        Of a key that the owner generated, the journal may have the only record. Pins that the pin
        file or a version marks as removed or compromised are left out.
        """
        situation = self.situation([])
        deployed = (
            pin
            for version in self.live_versions
            for policy in situation.policies_of(version)
            if policy is not None
            for pin in policy.live_pins
        )
        return frozenset((*self.policy.live_pins, *situation.past.known, *deployed))

    @property
    def verified(self) -> list[tuple[ServerView, Chain]]:
        """The server states with a chain that OpenSSL verified, each as a pair with that chain."""
        return [(view, view.verified) for view in self.views if view.verified]

    @property
    def file(self) -> str:
        """The path of the pin file, quoted for use in shell commands."""
        return shlex.quote(str(self.monitored.pin_set.path))

    def situation(self, views: Iterable[ServerView] | None = None) -> Situation:
        """Return a ``Situation``: the input of certpin's checks of key rotations, for this policy.

        It contains the pins, the versions that clients may still hold, the time, and the chains
        that the servers present.

        Args:
            views: the states of the servers with the chains to check; None for all servers with a
                verified chain.
        """
        chosen = [view for view, _ in self.verified] if views is None else views
        pin_set, pattern = self.monitored.pin_set, self.policy.pattern
        return Situation(
            pins=self.monitored.pins,
            pattern=pattern,
            deployed=pin_set.deployed,
            sightings=tuple(Sighting(view.where, view.verified, view.served) for view in chosen),
            timing=pin_set.timing,
            now=self.now,
            past=pin_set.history.past(pattern),
            # Needed only if older versions may trust them, and the pin file doesn't.
            roots=public_roots() if self.policy.trust else (),
        )

    def check_command(self, view: ServerView) -> str:
        """Return the ``certpin check`` command that probes a server again.

        ``view`` is the state of the server. If the pin file no longer covers its host, ``certpin
        check`` would refuse it. Then return the ``certpin pin`` command, which shows the chain.
        """
        pin_set = self.monitored.pin_set
        if pin_set.pins.policy_for(view.target.host):
            return shlex.join(["certpin", "check", str(pin_set.path), *view.options])
        _, *server = view.options
        return shlex.join(["certpin", "pin", *server])

    def status_command(self, view: ServerView) -> str:
        """Return the ``certpin rotate status`` command for the host of a server.

        ``view`` is the state of the server.
        """
        return shlex.join(["certpin", "rotate", "status", *self._status_options(view)])

    def _status_options(self, view: ServerView) -> list[str]:
        """Return the options of ``status_command``: those that select the server of ``view``.

        ``certpin rotate`` contacts all servers that the pin file lists for a policy, and refuses a
        ``--host`` that leaves out one of them. ``--connect`` selects a server that is not listed.
        """
        target, pin_set = view.target, self.monitored.pin_set
        file = ["--file", str(pin_set.path)]
        policy = pin_set.pins.policy_for(target.host)
        if policy is None:  # only deployed versions pin the host
            return file
        if not policy.servers:
            return [*file, *view.options]
        starttls = target.starttls or None
        endpoint = Endpoint(target.host, target.port, target.connect, starttls=starttls)
        if endpoint in (endpoint_at(name, server) for name, server in served_at(policy)):
            return [*file, "--host", str(policy.pattern)]
        if target.connect_options(view.edge):
            return [*file, *view.options]
        return [*file, *view.options, "--connect", join_address(target.host, target.port)]


@dataclass(frozen=True)
class LocationStatus:
    """When a location (a machine that probes hosts) was last active.

    Attributes:
        name: the name of the location.
        since: the monitor has scheduled probes from this location since this time without a pause.
            A pause is a time in which the service did not run.
        asked: when the monitor last scheduled probes from this location.
        heard: when the last result from this location arrived; None if no result ever arrived.
    """

    name: str
    since: datetime
    asked: datetime
    heard: datetime | None


@dataclass(frozen=True)
class LoggedCertificate:
    """An entry of a Certificate Transparency log: a certificate, or an entry that can't be decoded.

    Attributes:
        tbs: the SHA-256 that identifies the entry. For a certificate, it is the digest of the
            signed part (TBS).
        kind: "certificate" or "malformed".
        key: the SHA-256 of the certificate's SPKI.
        names: the certificate's DNS names.
        issuer: the certificate's issuer.
        log: the URL of the log.
        summary: certspotter's description of the event.
        not_after: when the certificate expires.
        first: when the entry was first recorded.
        authorities: the SHA-256 of the SPKI of each authority in the certificate's chain.
    """

    tbs: bytes
    kind: str
    key: bytes
    names: tuple[str, ...]
    issuer: str
    log: str
    summary: str
    not_after: datetime
    first: datetime
    authorities: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class ProbeEvidence:
    """The state of all monitored servers, locations and logged certificates, for the alert rules.

    Attributes:
        policies: the monitored host policies, with the states of their servers.
        settings: the settings of the monitor.
        now: the time for which the rules are evaluated.
        problems: messages about pin files that can't be read. The content that was last read stays
            in force.
        is_complete: False if one of these pin files was never read since the process started, so
            that its hosts are unknown.
        locations: the locations (machines) that probe hosts.
        logged: certificates in Certificate Transparency logs.
        pinned: the stored certificates that a pin names as a whole (``cert-sha256``).
        last_results: the time of the last result for each target (host, port, way to connect) and
            location.
        awaited: since when the monitor waits for the first result of a target from a location, by
            target and location.
    """

    policies: tuple[PolicyEvidence, ...] = ()
    settings: MonitorSettings = field(default_factory=MonitorSettings)
    now: datetime = _LONG_AGO
    problems: tuple[str, ...] = ()
    is_complete: bool = True
    locations: tuple[LocationStatus, ...] = ()
    logged: tuple[LoggedCertificate, ...] = ()
    pinned: frozenset[Certificate] = frozenset()
    last_results: dict[ProbeKey, datetime] = field(default_factory=dict)
    awaited: dict[ProbeKey, datetime] = field(default_factory=dict)

    @property
    def targets(self) -> Iterator[Target]:
        """The servers to probe, of all policies."""
        return (target for evidence in self.policies for target in evidence.monitored.targets)


def gather_probes(watch: Watch, now: datetime) -> ProbeEvidence:
    """Read the state of all monitored servers from the store. Blocks while it reads the database.

    Args:
        watch: the settings, the store and the pin files.
        now: the current time.

    Returns:
        The state, as the alert rules evaluate it.

    Raises:
        StoreError: the store cannot be read.
    """
    settings, snapshot = watch.settings.monitor, watch.pin_files.snapshot()
    found = monitored_policies(snapshot.sets, settings, now)
    with watch.store.read() as connection:
        views = _Views(connection, settings, now)
        policies = tuple(
            PolicyEvidence(
                monitored,
                tuple(view for target in monitored.targets for view in views.of(target)),
                settings,
                now,
            )
            for monitored in found
        )
        return ProbeEvidence(
            policies=policies,
            settings=settings,
            now=now,
            problems=snapshot.problems,
            is_complete=snapshot.is_complete,
            locations=tuple(_locations(connection, now)),
            logged=tuple(_logged(connection, now, settings)),
            pinned=_pinned(connection, policies),
            last_results=views.last_results,
            awaited={key: to_datetime(at) for key, at in awaited_since(connection).items()},
        )


class _Views:
    """The states of all probed servers, read from the store, to look them up by target.

    A state that only one probe saw is left out (``debounce``).
    """

    def __init__(self, connection: Connection, settings: MonitorSettings, now: datetime) -> None:
        rows = _rows(connection, now, settings)
        recent = int((now - settings.silent_after * settings.interval).timestamp())
        places: dict[tuple[str, int, str, str, str], list[SightingRow]] = defaultdict(list)
        for row in rows:
            places[*row.key, row.edge].append(row)
        self._confirmed: dict[tuple[str, int, str], list[ConfirmedSighting]] = defaultdict(list)
        self.last_results: dict[ProbeKey, datetime] = {}
        for place, seen in places.items():
            self._confirmed[place[:3]].extend(debounce(seen, recent))
            if not any(row.latest for row in seen):  # not probed any more, so it can't be silent
                continue
            last = to_datetime(max(row.last_at for row in seen))
            self.last_results[place[:4]] = max(last, self.last_results.get(place[:4], last))
        digests = {digest for row in rows for digest in (row.served, row.verified) if digest}
        self._chains = load_chains(connection, digests)

    def of(self, target: Target) -> Iterable[ServerView]:
        """Yield the states of a target's server at each address and from each location.

        Only confirmed states are included: those that several probes from the same location saw at
        the same address (see the function ``debounce``). So there can be no state; or several at
        one address and location, if the server alternates between them.
        """
        for confirmed in self._confirmed.get(target.key, ()):
            if confirmed.row.location in target.locations:
                yield self._view(target, confirmed)

    def _view(self, target: Target, confirmed: ConfirmedSighting) -> ServerView:
        row, before = confirmed.row, confirmed.before
        return ServerView(
            target=target,
            vantage=row.location,
            outcome=row.outcome,
            edge=row.edge,
            address=row.address,
            served=self._chains.get(row.served),
            verified=self._chains.get(row.verified),
            problem=row.problem,
            code=row.code,
            since=to_datetime(row.first_at),
            last=to_datetime(row.last_at),
            before=self._chains.get(before.verified) if before else None,
            changed=to_datetime(confirmed.changed_at),
        )


def _rows(connection: Connection, now: datetime, settings: MonitorSettings) -> list[SightingRow]:
    """Return the sightings (periods of equal probe results) that have not ended, or ended recently.

    Sightings that ended recently are included, because a change between two of them can still cause
    an alert. How long they are needed follows from ``settings``. But a sighting that ended in the
    future is left out: it was written while the clock was ahead.
    """
    span = max(settings.changes, settings.silent_after * settings.interval)
    return sightings_between(connection, int((now - span).timestamp()), int(now.timestamp()))


def _locations(connection: Connection, now: datetime) -> Iterable[LocationStatus]:
    for row in probed_locations(connection):
        heard = None if row.heard_at is None else to_datetime(row.heard_at)
        if heard is not None and heard > now:  # by a clock that was ahead
            heard = None
        yield LocationStatus(row.name, to_datetime(row.since), to_datetime(row.asked_at), heard)


def _logged(
    connection: Connection, now: datetime, settings: MonitorSettings
) -> Iterable[LoggedCertificate]:
    for row in logged_since(connection, int((now - settings.logged).timestamp())):
        yield LoggedCertificate(
            tbs=row.tbs,
            kind=row.kind,
            key=row.key,
            names=tuple(row.names.split()),
            issuer=row.issuer,
            log=row.log,
            summary=row.summary,
            not_after=to_datetime(row.not_after),
            first=to_datetime(row.first_at),
            authorities=tuple(
                row.authorities[at : at + 32] for at in range(0, len(row.authorities), 32)
            ),
        )


def _pinned(connection: Connection, policies: Iterable[PolicyEvidence]) -> frozenset[Certificate]:
    """Read the certificates that the policies pin as a whole, if the store has them.

    Each certificate that a server presented to a probe is stored, until retention deletes it. A
    certificate from a report counts, too: it has the digest of the pin. One that can't be read is
    left out.
    """
    named = frozenset[Pin]().union(*(evidence.named_pins for evidence in policies))
    digests = {pin.digest for pin in named if pin.kind == "cert-sha256"}
    found = set()
    for der in read_certificates(connection, digests).values():
        with suppress(CertificateParseError):
            found.add(Certificate.from_der(der))
    return frozenset(found)
