"""Read probe results: the latest ones of each location, the history of a host, and its changes.

``warning_period`` defines when a certificate expires soon, in alerts and on pages. A certificate
with a lifetime of a year is renewed manually, weeks before it expires. One of 47 days (CA/B Forum
SC-081v3, from 2029-03-15) is renewed automatically when a third of its lifetime is left, and is no
problem until that renewal has failed for a while. So the shorter of two periods is used: the
setting, or a quarter of the certificate's lifetime.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from sqlalchemy import exists, func, or_, select, tuple_

from certpin.errors import CertificateParseError
from certpin.pins import pins_of
from certpin.rotation.prospect import judge, refuses
from certpin_watch.settings import DEFAULT_THRESHOLDS, Thresholds
from certpin_watch.store.queries import Page, clamp_limit, hexadecimal, make_page, to_datetime
from certpin_watch.store.queries.chains import load_chains
from certpin_watch.store.tables.observations import LATEST, SIGHTINGS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from sqlalchemy import Connection, Row

    from certpin.pins import HostPolicy, PinSet
    from certpin.rotation import Version
    from certpin.x509 import Certificate, Chain
    from certpin_watch.snapshot import MonitoredPinSet, Snapshot

_MICROSECONDS = 1_000_000  # of a second
_MAX_SIGHTINGS = 20_000  # that one query of latest results reads

# X509_V_ERR_CERT_HAS_EXPIRED (openssl/x509_vfy.h): expired chains are checked, too.
HAS_EXPIRED = 10
_FRACTION = 4  # of its lifetime
_PREPARATION = timedelta(days=7)  # to prepare the successor of a pinned authority

# The reason of a verdict, or `unpinned` if no policy covers the host.
Answer = Literal[
    "match", "compromised-key", "mismatch", "too-few-scts", "expired", "no-chain", "unpinned"
]
_WORST_FIRST: tuple[Answer, ...] = (
    "no-chain",
    "compromised-key",
    "mismatch",
    "too-few-scts",
    "expired",
    "match",
)

# `problem_word` of a sighting, by `outcome` and by `answer`.
_OUTCOME_PROBLEMS = {
    "no-starttls": "no-starttls",
    "unreachable": "unreachable",
    "unverified": "unverified",
}
_ANSWER_PROBLEMS = {
    "compromised-key": "compromised-key",
    "mismatch": "mismatch",
    "too-few-scts": "too-few-scts",
    "expired": "pins-ended",
}

# The fields in which two sightings of a location may differ, as named in `Change.what`.
_COMPARED = ("outcome", "served", "verified", "address", "tls", "problem")


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """The result of successive equal probes of one server from one location (a machine).

    Attributes:
        vantage: the name of the location.
        port: the port of the server.
        way: how the location connects and verifies, if that is unusual: to a different address,
            with STARTTLS, or with other trust anchors; else empty.
        edge: the IP address, if each address of the host is probed separately; else empty.
        address: the address that answered last.
        outcome: "verified", "unverified" (OpenSSL refuses the chain), "unreachable", or
            "no-starttls" (the server declined TLS, or sent bytes in clear text before it).
        served: the digest of the chain that the server sent; empty if it sent none.
        verified: the digest of the chain that OpenSSL verified; empty if there was none.
        tls: the TLS version; empty if there was no TLS.
        problem: why no chain was verified; empty if one was.
        code: OpenSSL's error number for ``problem``; 0 if there is none.
        first_at: the time of the first of these probes.
        last_at: the time of the last one.
        probes: the number of probes.
        seconds: the duration of the last probe with all its attempts; null if it is unknown.
    """

    vantage: str
    port: int
    way: str
    edge: str
    address: str
    outcome: str
    served: str
    verified: str
    tls: str
    problem: str
    code: int
    first_at: datetime
    last_at: datetime
    probes: int
    seconds: float | None = None


class Vantage(Observation, frozen=True, kw_only=True):
    """The latest result of one location's probes of a server, with the verdict of the pins.

    Attributes:
        answer: the verdict of the pin files on the verified path, such as "match" or "mismatch".
        refused_by: the numbers of the versions that clients may still hold and that refuse the
            path.
        not_after: the earliest expiry date of a certificate in the verified path, or in the served
            chain if no path was verified.
        leaf_pin: the pin of the leaf.
        issuer: the issuer in the leaf.
        problem_word: the problem as a fixed word; empty if there is none.
        ends_soon: true if a certificate expires soon, relative to its lifetime.
    """

    answer: Answer
    refused_by: tuple[int, ...]
    not_after: datetime | None = None
    leaf_pin: str = ""
    issuer: str = ""
    problem_word: str = ""
    ends_soon: bool = False


class Sighting(Observation, frozen=True, kw_only=True):
    """An entry in the probe history of a host: a result that one location got in a period.

    ``id`` is the number of the entry. ``latest`` is true if the period has not ended, so the result
    is still current. A location is a machine that probes hosts.
    """

    id: int
    host: str
    latest: bool


class Change(msgspec.Struct, frozen=True):
    """A difference between two successive probe results of one location.

    ``before`` and ``after`` are the two results. The location (a machine that probes hosts) is
    ``vantage``, and ``port`` is the port of the server. ``at`` is the time of the first probe with
    the result ``after``. ``what`` lists the names of the differences, the most important first:
    "key" and "issuer" for the leaf; then the fields of the result that differ ("outcome", "served",
    "verified", "address", "tls", "problem").
    """

    at: datetime
    vantage: str
    port: int
    what: tuple[str, ...]
    before: Sighting
    after: Sighting


class PinJudge:
    """Checks chains against the monitored pin sets, as they are at the time ``now``.

    The versions that clients may still hold at ``now`` are computed once for each pin set.
    """

    def __init__(self, snapshot: Snapshot, now: datetime) -> None:
        self.sets = snapshot.sets
        self.now = now
        self._alive = {monitored.path: monitored.alive(now) for monitored in snapshot.sets}

    def alive(self, monitored: MonitoredPinSet) -> tuple[Version, ...]:
        """Return the versions of a monitored pin set that clients may still hold.

        The pin set must be one of the snapshot for which this object was made.
        """
        return self._alive[monitored.path]

    def answer(self, host: str, chain: Chain | None) -> Answer:
        """Return the verdict of the pin files on a chain of a host, such as "match" or "mismatch".

        If several pin files cover the host, the worst of their verdicts counts. If none does, the
        result is "unpinned". If ``chain`` is None, it is "no-chain" for a covered host.
        """
        answers = [_answer(monitored.pins, host, chain, self.now) for monitored in self.sets]
        return next((answer for answer in _WORST_FIRST if answer in answers), "unpinned")

    def refusing(self, host: str, chain: Chain | None) -> tuple[int, ...]:
        """Return the numbers of the pin-set versions that refuse a chain and that clients may hold.

        A version that refuses the chain only because its pins have expired is left out. The
        versions of all monitored pin sets are checked; their numbers are in one sorted list. If
        ``chain`` is None, every version with a policy for the host refuses it.
        """
        versions = [version.pins for monitored in self.sets for version in self.alive(monitored)]
        found = {
            pins.version for pins in versions if refuses(chain, pins.policy_for(host), self.now)
        }
        return tuple(sorted(found))

    def ends_soon(self, host: str, chain: Chain | None, warning: timedelta) -> bool:
        """Return True if a certificate of the chain has expired, or expires soon.

        ``warning`` is the warning period in the settings. ``warning_period`` adapts it to each
        certificate, as it does for the alert rules. Return False if there is no chain, or a
        certificate can't be read. ``host`` is the host that presented the chain.
        """
        if chain is None:
            return False
        policies = [
            (monitored.pins.policy_for(host), monitored.timing.adopt) for monitored in self.sets
        ]
        covers = [(policy, adopt) for policy, adopt in policies if policy is not None]
        try:
            return any(
                certificate.not_after - self.now
                < warning_period(certificate, warning, authority=at > 0, covers=covers)
                for at, certificate in enumerate(chain.certificates)
            )
        except CertificateParseError:
            return False


def current_by_location(
    connection: Connection,
    judge: PinJudge,
    hosts: Sequence[str],
    thresholds: Thresholds = DEFAULT_THRESHOLDS,
) -> dict[str, tuple[Vantage, ...]]:
    """Return the latest probe results of each host, sorted by location.

    A host without results has an empty tuple.

    Args:
        connection: a connection that may read.
        judge: checks the chains in the results against the pins.
        hosts: the host names.
        thresholds: the limits in the settings for dates that are near.
    """
    columns = SIGHTINGS.c
    statement = select(SIGHTINGS).where(LATEST, columns.host.in_(hosts))
    order = (columns.host, columns.vantage, columns.port, columns.way, columns.edge)
    rows = connection.execute(statement.order_by(*order).limit(_MAX_SIGHTINGS)).all()
    digests = {digest for row in rows for digest in (row.served, row.verified) if digest}
    stored = load_chains(connection, digests)
    found: dict[str, tuple[Vantage, ...]] = defaultdict(tuple)
    for row in rows:
        found[row.host] += (_vantage(row, stored, judge, thresholds),)
    return found


def latest_chains(connection: Connection, hosts: Collection[str]) -> list[tuple[str, bytes, bytes]]:
    """Return the chains that the latest probes of these hosts verified, sorted, without duplicates.

    Returns:
        Tuples of the host, the digest of the chain as its server sent it, and the digest of the
        verified chain.
    """
    columns = SIGHTINGS.c
    chosen = (columns.host, columns.served, columns.verified)
    statement = select(*chosen).distinct().where(LATEST, columns.host.in_(sorted(hosts)))
    verified = statement.where(columns.verified != b"").order_by(*chosen)
    rows = connection.execute(verified.limit(_MAX_SIGHTINGS))
    return [(host, served, path) for host, served, path in rows]


def last_verified(
    connection: Connection, hosts: Collection[str]
) -> dict[tuple[str, int, str, str, str], int]:
    """Return when each location last verified a chain of these hosts.

    Returns:
        A mapping to seconds since 1970. The keys are host, port, location, way to connect (such as
        STARTTLS), and address (empty unless each address of the host is probed separately).
    """
    columns = SIGHTINGS.c
    by = (columns.host, columns.port, columns.vantage, columns.way, columns.edge)
    statement = (
        select(*by, func.max(columns.last_at))
        .group_by(*by)
        .where(columns.host.in_(sorted(hosts)), columns.outcome == "verified")
    )
    rows = connection.execute(statement) if hosts else ()
    return {(host, port, vantage, way, edge): at for host, port, vantage, way, edge, at in rows}


def has_sightings(connection: Connection) -> bool:
    """Return True if at least one probe result is stored.

    Otherwise a page without alerts has to say that nothing was probed yet.
    """
    return bool(connection.execute(select(exists().select_from(SIGHTINGS))).scalar())


def history(
    connection: Connection,
    host: str,
    *,
    before: tuple[int, int] | None = None,
    limit: int = 100,
) -> Page[Sighting]:
    """Return a page of the probe results of a host, newest first.

    Each item is a period of equal results (``Sighting``). ``before`` is ``next`` of the previous
    page; None for the first page. ``limit`` is the maximum size of the page; more than 500 counts
    as 500.
    """
    limit, columns = clamp_limit(limit), SIGHTINGS.c
    key = (columns.last_at, columns.id)
    statement = select(SIGHTINGS).where(columns.host == host)
    if before is not None:
        statement = statement.where(tuple_(*key) < before)
    order = (column.desc() for column in key)
    rows = connection.execute(statement.order_by(*order).limit(limit + 1)).all()
    keys = [(row.last_at, row.id) for row in rows]
    return make_page([_sighting(row) for row in rows], limit, keys)


def changes(connection: Connection, host: str, *, limit: int = 50) -> tuple[Change, ...]:
    """Return the differences between successive probe results of a host, newest first.

    Only the last ``limit`` results are compared. A result is a period of equal probes; it is
    compared with the next result of the same location, port and address.
    """
    found = history(connection, host, limit=clamp_limit(limit)).items
    digests = {
        bytes.fromhex(digest) for row in found for digest in (row.served, row.verified) if digest
    }
    stored = load_chains(connection, digests)
    changed: list[Change] = []
    newer: dict[tuple[str, int, str, str], Sighting] = {}
    for row in found:
        place = (row.vantage, row.port, row.way, row.edge)
        if place in newer:
            changed.append(_change(row, newer[place], stored))
        newer[place] = row
    return tuple(sorted(changed, key=lambda change: change.at, reverse=True))


def earliest_expiry(chain: Chain | None) -> datetime | None:
    """Return the earliest expiry date of the certificates in a chain; None if it is unknown.

    It is unknown if there is no chain, or a date can't be read.
    """
    try:
        dates = [certificate.not_after for certificate in chain.certificates] if chain else []
    except CertificateParseError:
        return None
    return min(dates, default=None)


def issuer_of(chain: Chain | None) -> str:
    """Return the issuer that the leaf of a chain names; empty if it can't be read."""
    try:
        return chain.leaf.issuer if chain else ""
    except CertificateParseError:
        return ""


def locations_of_chain(connection: Connection, host: str, digest: bytes) -> list[str]:
    """Return the locations to which a host presented this chain, at most 20.

    A location is a machine that probes hosts. Locations that got the chain only from a different
    host are left out: a chain that is genuine there can be part of an attack on this host.

    Args:
        connection: a read transaction.
        host: the name of the host.
        digest: the SHA-256 that identifies the chain.
    """
    table = SIGHTINGS.c
    statement = select(table.vantage).where(
        table.host == host, or_(table.served == digest, table.verified == digest)
    )
    return sorted(connection.execute(statement.distinct().limit(20)).scalars())


def _answer(pins: PinSet, host: str, chain: Chain | None, now: datetime) -> Answer:
    policy = pins.policy_for(host)
    if policy is None:
        return "unpinned"
    reason = judge(chain, policy, now).reason
    return "match" if reason == "debug-anchor" else reason


def _vantage(
    row: Row[Any], stored: dict[bytes, Chain | None], judge: PinJudge, thresholds: Thresholds
) -> Vantage:
    path, sent = stored.get(row.verified), stored.get(row.served)
    shown, judged = path or sent, path or (sent if row.code == HAS_EXPIRED else None)
    answer = judge.answer(row.host, path)
    refused_by = judge.refusing(row.host, path) if path else ()
    problem = _OUTCOME_PROBLEMS.get(row.outcome) or _ANSWER_PROBLEMS.get(answer)
    return Vantage(
        **_observation_fields(row),
        answer=answer,
        refused_by=refused_by,
        not_after=earliest_expiry(shown),
        leaf_pin=_leaf_pin(shown),
        issuer=issuer_of(shown),
        problem_word=problem or ("refused" if refused_by else ""),
        ends_soon=judge.ends_soon(row.host, judged, thresholds.certificates),
    )


def _leaf_pin(chain: Chain | None) -> str:
    return str(pins_of(chain.leaf)[0]) if chain else ""


def _sighting(row: Row[Any]) -> Sighting:
    return Sighting(id=row.id, host=row.host, latest=bool(row.latest), **_observation_fields(row))


def _observation_fields(row: Row[Any]) -> dict[str, Any]:
    same = ("vantage", "port", "way", "edge", "address", "outcome", "tls", "problem", "code")
    return {
        **{name: row._mapping[name] for name in same},
        "served": hexadecimal(row.served),
        "verified": hexadecimal(row.verified),
        "first_at": to_datetime(row.first_at),
        "last_at": to_datetime(row.last_at),
        "probes": row._mapping["count"],  # `count` is a method of rows
        "seconds": row.took / _MICROSECONDS if row.took else None,
    }


def _change(before: Sighting, after: Sighting, stored: dict[bytes, Chain | None]) -> Change:
    old, new = (_path_or_sent(sighting, stored) for sighting in (before, after))
    important = []
    if old and new and old.leaf.spki_sha256 != new.leaf.spki_sha256:
        important.append("key")
    if old and new and issuer_of(old) != issuer_of(new):
        important.append("issuer")
    fields = [name for name in _COMPARED if getattr(before, name) != getattr(after, name)]
    return Change(after.first_at, after.vantage, after.port, (*important, *fields), before, after)


def _path_or_sent(sighting: Sighting, stored: dict[bytes, Chain | None]) -> Chain | None:
    """Return the verified certification path of a probe result; without one, the served chain.

    ``sighting`` is the result. ``stored`` maps the digests of chains to the chains. The result is
    None if the chain is not in it, or can't be parsed.
    """
    return stored.get(bytes.fromhex(sighting.verified or sighting.served))


def warning_period(
    certificate: Certificate,
    warning: timedelta,
    *,
    authority: bool,
    covers: Iterable[tuple[HostPolicy, timedelta]],
) -> timedelta:
    """Return how long before a certificate expires alerts and pages begin to warn.

    The period is ``warning``, or a quarter of the certificate's lifetime if that is shorter. For a
    pinned authority it is at least the time that clients need to adopt a new version of the pin
    set, plus a week: all clients must have the pin of the next certificate before this one expires.

    Args:
        certificate: a certificate in a served chain.
        warning: the period in the settings.
        authority: True if the certificate is not the leaf.
        covers: the policies that cover the host, each with the time that clients need to adopt a
            new version of its pin set. Those that don't pin the certificate are ignored.

    Raises:
        CertificateParseError: the dates or the key of the certificate can't be read.
    """
    soon = min(warning, (certificate.not_after - certificate.not_before) / _FRACTION)
    if not authority:
        return soon
    pins = pins_of(certificate)
    waits = [adopt for policy, adopt in covers if not policy.live_pins.keys().isdisjoint(pins)]
    return max([soon, *(adopt + _PREPARATION for adopt in waits)])
