"""Results of probes in the store: sightings, probed locations, and certificates of CT logs.

A sighting is a row that says: from one time to another, a location got the same result at one
address. ``monitor`` decides if a result extends a row or ends it; the functions here only read and
write.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, bindparam, delete, or_, select, update

from certpin_watch.store.engine import advisory_lock, insert, pieces
from certpin_watch.store.tables.observations import AWAITED, LATEST, LOGGED, SIGHTINGS, VANTAGES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection, TextClause

ProbeKey = tuple[str, int, str, str]  # host, port, way, location

_MAX_VALUES = 500  # in one statement


@dataclass(frozen=True, slots=True)
class SightingRow:
    """A sighting: a period in which a location got equal probe results at one address of a host.

    A location is a machine that probes hosts. All times are in seconds since 1970.

    Attributes:
        host: the host name that was probed.
        port: its port.
        location: the name of the location.
        way: how the location connects and verifies, if that is unusual: to a different address,
            with STARTTLS, or with other trust anchors; else empty.
        edge: the IP address, if each address of the host is probed separately; else empty.
        address: the address that answered last.
        outcome: "verified", "unverified" (OpenSSL refuses the chain), "unreachable", or
            "no-starttls" (the server declined TLS, or sent bytes in clear text before it).
        served: the digest of the chain that the server sent; empty if it sent none.
        verified: the digest of the verified chain; empty if there was none.
        tls: the TLS version of the last probe; empty if there was no TLS.
        problem: why no chain was verified; empty if one was.
        code: OpenSSL's error number for ``problem``; 0 if there is none.
        first_at: the time of the first probe of the period.
        last_at: the time of the last probe of the period.
        slot: the time for which the last probe was planned.
        count: the number of probes in the period.
        changes: the number of consecutive earlier periods, directly before this one, that had only
            one probe each. If it is large, the result changes with each probe.
        latest: True if the period has not ended.
        took: the duration of the last probe in microseconds; 0 if unknown.
        id: the number of the row; 0 until it is stored.
    """

    host: str
    port: int
    location: str
    way: str
    edge: str
    address: str
    outcome: str
    served: bytes
    verified: bytes
    tls: str
    problem: str
    code: int
    first_at: int
    last_at: int
    slot: int
    count: int = 1
    changes: int = 0
    latest: bool = True
    took: int = 0
    id: int = 0

    @property
    def key(self) -> ProbeKey:
        """The target (host, port, way to connect) and the location of the probes.

        If each address of a host is probed separately, the sightings (periods of equal results) at
        all addresses have the same key.
        """
        return self.host, self.port, self.way, self.location


@dataclass(frozen=True, slots=True)
class LocationRow:
    """A location that probes hosts. Times are in seconds since 1970.

    Attributes:
        name: the name of the location.
        since: the start of the time for which its probes have been scheduled without a pause.
        asked_at: when its probes were last scheduled.
        heard_at: when its last result was stored; None if there was none.
    """

    name: str
    since: int
    asked_at: int
    heard_at: int | None


@dataclass(frozen=True, slots=True)
class LoggedRow:
    """A certificate in a Certificate Transparency log, or an entry that can't be decoded.

    Attributes:
        tbs: the digest of the signed part, equal for a certificate and its precertificate.
        kind: "certificate"; "malformed" for an entry that can't be decoded.
        key: the SHA-256 of the certificate's public key (SPKI).
        authorities: the SHA-256 of the public key of each issuing certificate in its chain,
            concatenated.
        names: its DNS names, with spaces between.
        issuer: the certificate's issuer.
        log: the URL of the log.
        summary: certspotter's description of the event.
        not_after: when the certificate expires, in seconds since 1970.
        first_at: when it was first reported, in seconds since 1970.
        last_at: when it was last reported, in seconds since 1970.
    """

    tbs: bytes
    kind: str
    key: bytes = b""
    authorities: bytes = b""
    names: str = ""
    issuer: str = ""
    log: str = ""
    summary: str = ""
    not_after: int = 0
    first_at: int = 0
    last_at: int = 0


_COLUMN_NAMES = {
    field.name: "vantage" if field.name == "location" else field.name
    for field in fields(SightingRow)
}
_SIGHTING_COLUMNS = tuple(SIGHTINGS.c[name] for name in _COLUMN_NAMES.values())
_NEW_SIGHTING = tuple(pair for pair in _COLUMN_NAMES.items() if pair != ("id", "id"))
_LOCATION_COLUMNS = tuple(VANTAGES.c[field.name] for field in fields(LocationRow))
_LOGGED_COLUMNS = tuple(LOGGED.c[field.name] for field in fields(LoggedRow))

_EXTEND = (
    update(SIGHTINGS)
    .where(SIGHTINGS.c.id == bindparam("row"))
    .values(
        address=bindparam("new_address"),
        first_at=bindparam("new_first"),
        last_at=bindparam("new_last"),
        slot=bindparam("new_slot"),
        took=bindparam("new_took"),
        count=SIGHTINGS.c.count + 1,
    )
)
_END = update(SIGHTINGS).where(SIGHTINGS.c.id == bindparam("row")).values(latest=False)


def lock_sightings(connection: Connection) -> None:
    """Prevent other processes from writing sightings until this transaction ends.

    A sighting is a period of equal probe results. Without this lock, two services that store
    results for one target at once could both insert a row. On SQLite, which has only one writer,
    this does nothing.
    """
    advisory_lock(connection, b"certpin watch sightings")


def latest_sightings(connection: Connection, hosts: AbstractSet[str]) -> list[SightingRow]:
    """Return the current sightings of these hosts.

    A sighting is a period of equal probe results. It is current if it has not ended.
    """
    found: list[SightingRow] = []
    for piece in pieces(hosts, _MAX_VALUES):
        found += _sightings(connection, and_(LATEST, SIGHTINGS.c.host.in_(piece)))
    return found


def latest_sightings_from(
    connection: Connection, location: str
) -> Iterator[tuple[ProbeKey, str, int, int, int, int]]:
    """Yield a location's current sightings: periods of equal probe results that have not ended.

    Each tuple has the key of the target and location, and the columns ``outcome``, ``slot`` (the
    planned time of the last probe), ``last_at``, ``count`` and ``changes``. Other columns are not
    read, because this runs every few seconds.
    """
    table = SIGHTINGS.c
    key = (table.host, table.port, table.way, table.vantage)
    state = (table.outcome, table.slot, table.last_at, table.count, table.changes)
    rows = connection.execute(select(*key, *state).where(LATEST, table.vantage == location))
    for host, port, way, vantage, *values in rows:
        yield ((host, port, way, vantage), *values)


def sightings_between(connection: Connection, since: int, until: int) -> list[SightingRow]:
    """Return the current sightings, and those that ended from ``since`` to ``until``.

    A sighting is a period of equal probe results. Both times are inclusive, in seconds since 1970.
    """
    ended = SIGHTINGS.c.last_at.between(since, until)
    return _sightings(connection, or_(SIGHTINGS.c.latest, ended))


def write_sightings(
    connection: Connection,
    extended: Collection[SightingRow],
    ended: Collection[SightingRow],
    new: Collection[SightingRow],
) -> None:
    """Extend, end and insert sightings, which are periods of equal probe results.

    Args:
        connection: a transaction that has called ``lock_sightings``.
        extended: stored sightings to which one more probe belongs. Their ``address``, ``slot`` (the
            planned time), ``took`` and times are stored, and the number of their probes rises by
            one.
        ended: stored sightings that are not current any more.
        new: sightings to insert.
    """
    if extended:
        connection.execute(
            _EXTEND,
            [
                {
                    "row": row.id,
                    "new_address": row.address,
                    "new_first": row.first_at,
                    "new_last": row.last_at,
                    "new_slot": row.slot,
                    "new_took": row.took,
                }
                for row in extended
            ],
        )
    if ended:
        connection.execute(_END, [{"row": row.id} for row in ended])
    if new:
        connection.execute(insert(connection, SIGHTINGS), [_values(row) for row in new])


def current_sightings(connection: Connection) -> dict[int, ProbeKey]:
    """Return the target and location of each current sighting, by the sighting's row number.

    A sighting is a period of equal probe results. It is current if it has not ended.
    """
    table = SIGHTINGS.c
    chosen = select(table.id, table.host, table.port, table.way, table.vantage).where(LATEST)
    return {
        id_: (host, port, way, name) for id_, host, port, way, name in connection.execute(chosen)
    }


def end_other_sightings(
    connection: Connection, current: Mapping[int, ProbeKey], probed: AbstractSet[ProbeKey]
) -> None:
    """End the sightings of targets that are not probed any more; delete locations without a target.

    A sighting is a period of equal probe results. When a server, a location or a trust anchor is
    removed from the settings or the pin file, its last sighting becomes history: pages must not
    judge the host by it, nor report the location as silent.

    Args:
        connection: a transaction of the process that has the monitor's lease (the right to probe).
        current: the result of ``current_sightings``.
        probed: every pair of a target that is probed now and a location that probes it.
    """
    ended = [{"row": row} for row, key in current.items() if key not in probed]
    if ended:
        connection.execute(_END, ended)
    names = {location for *_, location in probed}
    connection.execute(delete(VANTAGES).where(VANTAGES.c.name.not_in(names)))


def note_awaited(connection: Connection, awaited: AbstractSet[ProbeKey], now: datetime) -> None:
    """Record which servers have no result yet from a location that has to probe them.

    Args:
        connection: a transaction of the process that has the monitor's lease (the right to probe).
        awaited: all pairs of such a server (a target) and such a location. Records of other pairs
            are deleted.
        now: the current time. It is stored for pairs that have no record yet; the others keep the
            time that is stored.
    """
    moment = int(now.timestamp())
    # A time in the future was written while the clock ran ahead.
    known = {key for key, since in awaited_since(connection).items() if since <= moment}
    columns = AWAITED.c
    connection.execute(delete(AWAITED).where(columns.since > moment))
    for host, port, way, location in known - awaited:
        same = (columns.host == host, columns.port == port, columns.way == way)
        connection.execute(delete(AWAITED).where(*same, columns.vantage == location))
    if new := awaited - known:
        names = ("host", "port", "way", "vantage", "since")
        rows = [dict(zip(names, (*key, moment), strict=True)) for key in new]
        connection.execute(insert(connection, AWAITED), rows)


def awaited_since(connection: Connection) -> dict[ProbeKey, int]:
    """Return since when the service waits for the first result of a target from a location.

    ``note_awaited`` stores these times. They are in seconds since 1970, by target and location. A
    target is a server to probe, a location a machine that probes it.
    """
    columns = AWAITED.c
    rows = connection.execute(
        select(columns.host, columns.port, columns.way, columns.vantage, columns.since)
    )
    return {(host, port, way, location): since for host, port, way, location, since in rows}


def probed_locations(connection: Connection) -> list[LocationRow]:
    """Return every location that probes hosts."""
    return [LocationRow(*row) for row in connection.execute(select(*_LOCATION_COLUMNS))]


def note_scheduled(
    connection: Connection, locations: Iterable[str], now: datetime, max_gap: int
) -> None:
    """Record that probes from these locations are scheduled now.

    Args:
        connection: a transaction.
        locations: the names of the locations.
        now: the current time.
        max_gap: seconds. If more time has passed since a location's probes were last scheduled,
            the service did not run. Then the location's ``since`` is set to ``now``, so that it
            doesn't count as silent for that time.
    """
    moment = int(now.timestamp())
    scheduled = {row.name: row.asked_at for row in probed_locations(connection)}
    for name in sorted(set(locations)):
        values: dict[str, Any] = {"asked_at": moment}
        if not 0 <= moment - scheduled.get(name, -1) <= max_gap:
            values["since"] = moment
        statement = insert(connection, VANTAGES).values(name=name, **{"since": moment} | values)
        connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=values))


def note_results(connection: Connection, locations: AbstractSet[str], moment: int) -> None:
    """Record when probe results of these locations were last stored.

    ``moment`` is this time, in seconds since 1970.
    """
    for name in sorted(locations):
        chosen = VANTAGES.c.name == name
        connection.execute(update(VANTAGES).where(chosen).values(heard_at=moment))


def record_logged(connection: Connection, entry: LoggedRow, now: datetime) -> bool:
    """Store a certificate of a Certificate Transparency log, or update its ``last_at``.

    certspotter reports a certificate once for each log, and again for its precertificate. All of
    these have the same ``tbs`` (a digest of the signed part), and are stored as one row. ``now`` is
    stored as the time of the report; the times in ``entry`` are ignored.

    Returns:
        True if the certificate is new.
    """
    moment = int(now.timestamp())
    known = select(LOGGED.c.tbs).where(LOGGED.c.tbs == entry.tbs)
    is_new = connection.execute(known).first() is None
    row = replace(entry, first_at=moment, last_at=moment)
    statement = insert(connection, LOGGED).values(asdict(row))
    connection.execute(
        statement.on_conflict_do_update(index_elements=["tbs"], set_={"last_at": moment})
    )
    return is_new


def logged_since(connection: Connection, since: int) -> list[LoggedRow]:
    """Return the certificates of CT logs that were first reported at ``since`` or later.

    ``since`` is in seconds since 1970.
    """
    chosen = select(*_LOGGED_COLUMNS).where(LOGGED.c.first_at >= since)
    return [LoggedRow(*row) for row in connection.execute(chosen)]


def _sightings(
    connection: Connection, condition: ColumnElement[bool] | TextClause
) -> list[SightingRow]:
    rows = connection.execute(select(*_SIGHTING_COLUMNS).where(condition))
    return [SightingRow(*row) for row in rows]


def _values(row: SightingRow) -> dict[str, Any]:
    """Return the column values of ``row``, a new sighting, for an INSERT.

    ``id`` is missing, because the database assigns it.
    """
    return {column: getattr(row, name) for name, column in _NEW_SIGHTING}
