"""The service's end of a worker: due jobs are handed out, and results are written down.

A job is given to one worker for ``LEASE`` seconds. The lease is a row of the store, one for each
target and location, so that several services on one database hand out each job once. A worker that
dies is not heard any more, and its jobs go to another. A result counts only if its worker holds the
job, and it counts once: the row of the lease is locked in the transaction that writes the result
down, and says afterwards that the job is done.

The location comes from the token, never from the body. NOT checked: that a worker really made the
observations that it posts. An attacker who controls its machine can lie about that location, and
about no other.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import bindparam, delete, or_, select, text, update
from sqlalchemy.exc import DataError, IntegrityError

from certpin_watch.counters import COUNTERS
from certpin_watch.monitor.results import MOST_BYTES, MOST_REQUEST, JobBatch, encode
from certpin_watch.monitor.scheduler import LOOK, due, job_of, locations
from certpin_watch.monitor.sightings import keep_results, known
from certpin_watch.monitor.targets import charges, targets_of
from certpin_watch.store.engine import insert
from certpin_watch.store.tables.service import LEASES, PROBES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection

    from certpin_watch.monitor.results import Fate, Job, JobRequest, Result
    from certpin_watch.monitor.settings import Settings
    from certpin_watch.monitor.sightings import Key
    from certpin_watch.monitor.targets import Target
    from certpin_watch.snapshot import Watch

log = logging.getLogger("certpin.watch.monitor")

LEASE = 60  # seconds after which a job whose worker was not heard goes to another
_UNFIT = 600  # seconds until a target is probed again whose result no database took
_AHEAD = 600  # seconds beyond these that no lease of a good clock holds for
_IDLE = 60.0  # seconds until a worker asks again that can have no jobs
# A transaction that changes leases of jobs holds this lock of PostgreSQL's.
_TURN = int.from_bytes(hashlib.sha256(b"certpin watch jobs").digest()[:8], signed=True)
_AT_ONCE = 200  # rows in a statement: SQLite bounds its variables

_FINISH = (
    update(LEASES)
    .where(LEASES.c.name == bindparam("row"))
    .values(holder=bindparam("done"), until=bindparam("end"))
)


class Worker(NamedTuple):
    """A worker: the location of its token, the token, and the number of its process."""

    location: str
    token: str
    process: str

    def holds(self, slot: int | str = "") -> str:
        """How a lease says that this worker has the job of a target for a moment."""
        return f"{slot} {self.token}/{self.process}"


def hand_out(watch: Watch, worker: Worker, request: JobRequest) -> JobBatch:
    """Give a worker the jobs that are due at its location and that no other worker has.

    Renews the leases of ``request.held``, and ends those of ``request.returned``: another worker's
    are left as they are. Raises ``StoreError``.
    """
    settings = watch.settings.monitor
    now = int(watch.clock().timestamp())
    if note := _obstacle(settings, worker.location):
        return JobBatch(worker.location, LEASE, _IDLE, note=note)
    planned = _planned(watch, worker.location, now) if request.most else []
    jobs: list[Job] = []
    if planned or request.held or request.returned:
        with watch.store.write() as connection:
            _take_turn(connection)
            _renew(connection, worker, request.held, now)
            _return(connection, worker, request.returned)
            jobs = _claim(connection, worker, planned[: request.most], now)
            _forget(connection, now)
    wait = min(LOOK, settings.confirm.total_seconds())
    return JobBatch(worker.location, LEASE, wait, tuple(jobs))


def keep(watch: Watch, worker: Worker, results: Sequence[Result]) -> list[Fate]:
    """Store the results of jobs that this worker holds. Returns the fate of each.

    Raises ``StoreError``: then nothing is written, and the worker sends them again.
    """
    asked = _asked(watch)
    fates: list[Fate] = ["kept"] * len(results)
    for at, result in enumerate(results):
        if result.vantage != worker.location:
            fates[at] = "foreign"
        elif not _fits(result, asked):
            fates[at] = "unasked"
    good = [at for at, fate in enumerate(fates) if fate == "kept"]
    for at, fate in zip(good, _store(watch, worker, [results[at] for at in good]), strict=True):
        fates[at] = fate
    _note(worker, results, fates)
    return fates


def _obstacle(settings: Settings, location: str) -> str:
    """Why no job is ever due at a location; empty if one may be."""
    if not settings.enabled:
        return "the service makes no probes: monitor.enabled is false in its watch.toml"
    if location == settings.vantage:
        return (
            f"the service itself probes from {location}: make a token for another location, or "
            "change monitor.vantage in its watch.toml"
        )
    if location not in locations(settings):
        return (
            f"no host is probed from {location}: add it to monitor.vantages in the service's "
            "watch.toml"
        )
    return ""


def _planned(watch: Watch, location: str, now: int) -> list[Job]:
    """The jobs that are due there, and whose targets no worker has."""
    settings = watch.settings.monitor
    targets = [
        replace(each, vantages=(location,)) for each in _targets(watch) if location in each.vantages
    ]
    found: list[Job] = []
    size = 0
    with watch.store.read() as connection:
        busy = set(
            connection.execute(
                select(LEASES.c.name).where(_of_jobs(), LEASES.c.until > now, ~_is_ahead(now))
            ).scalars()
        )
        for each in due(targets, known(connection, location), settings, now):
            job = job_of(each, settings)
            weight = len(encode(job))
            if (
                _lease_of(job) in busy or weight > MOST_BYTES
            ):  # `not-probed` reports those that are too large
                continue
            size += weight
            if size > MOST_REQUEST - MOST_BYTES:
                break
            found.append(job)
    return found


def _claim(connection: Connection, worker: Worker, jobs: list[Job], now: int) -> list[Job]:
    """Take the leases that are free, and return their jobs."""
    taken: set[str] = set()
    wanted = {_lease_of(job): job for job in jobs}
    for some in _parts(sorted(wanted)):
        rows = [{"name": name, "holder": worker.holds(wanted[name].slot)} for name in some]
        new = insert(connection, LEASES).values(
            [row | {"until": now + LEASE, "term": 1} for row in rows]
        )
        statement = new.on_conflict_do_update(
            index_elements=[LEASES.c.name],
            set_={
                "holder": new.excluded.holder,
                "until": new.excluded.until,
                "term": LEASES.c.term + 1,
            },
            where=or_(LEASES.c.until <= now, _is_ahead(now)) & ~_is_done(new.excluded.holder),
        ).returning(LEASES.c.name)
        taken.update(connection.execute(statement).scalars())
    return [job for name, job in wanted.items() if name in taken]


def _is_done(holder: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether the job that ``holder`` would take was done since it was planned."""
    return LEASES.c.holder.endswith(" ") & holder.startswith(LEASES.c.holder)


def _take_turn(connection: Connection) -> None:
    """On PostgreSQL: one at a time works on leases of jobs. Each takes several rows, in an order
    of the database's own, and two would wait for each other's.
    """
    if connection.dialect.name != "sqlite":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _TURN})


def _renew(connection: Connection, worker: Worker, held: Iterable[str], now: int) -> None:
    for some in _parts(sorted({PROBES + identity for identity in held})):
        chosen = LEASES.c.name.in_(some) & _held_by(worker)
        connection.execute(update(LEASES).where(chosen).values(until=now + LEASE))


def _return(connection: Connection, worker: Worker, returned: Iterable[str]) -> None:
    for some in _parts(sorted({PROBES + identity for identity in returned})):
        connection.execute(delete(LEASES).where(LEASES.c.name.in_(some), _held_by(worker)))


def _forget(connection: Connection, now: int) -> None:
    """Remove leases that ended, so that no target that is gone leaves one."""
    connection.execute(delete(LEASES).where(_of_jobs(), LEASES.c.until < now - LEASE))


def _store(watch: Watch, worker: Worker, results: list[Result]) -> list[Fate]:
    """Store results. One that no database takes does not hold up the others."""
    if not results:
        return []
    try:
        return _store_all(watch, worker, results)
    except (DataError, IntegrityError):  # one of them: which?
        if len(results) == 1:
            _give_up(watch, worker, results[0])
            return ["unfit"]
    middle = len(results) // 2
    return _store(watch, worker, results[:middle]) + _store(watch, worker, results[middle:])


def _store_all(watch: Watch, worker: Worker, results: list[Result]) -> list[Fate]:
    now = watch.clock()
    moment = int(now.timestamp())
    with watch.store.write() as connection:
        _take_turn(connection)
        holders = _locked(connection, [_lease_of(each) for each in results])
        fates: list[Fate] = []
        for result in results:
            name = _lease_of(result)
            fates.append(_fate(holders.get(name), worker, result))
            if fates[-1] == "kept":
                holders[name] = _done(result)  # another result for the same job is a repeat
        fresh = [each for each, fate in zip(results, fates, strict=True) if fate == "kept"]
        keep_results(connection, fresh, now)
        _finish(connection, fresh, moment)
    return fates


def _fate(holder: str | None, worker: Worker, result: Result) -> Fate:
    # Past its end, too, for as long as no other worker has the job.
    if holder == worker.holds(result.slot):
        return "kept"
    return "repeat" if holder == _done(result) else "not-held"


def _done(result: Result) -> str:
    """How a lease says that the job of a target for a moment is done."""
    return f"{result.slot} "


def _locked(connection: Connection, names: list[str]) -> dict[str, str]:
    """Who has these jobs. No other transaction changes it before this one ends."""
    found: dict[str, str] = {}
    columns = LEASES.c
    for some in _parts(sorted(set(names))):
        rows = select(columns.name, columns.holder).where(columns.name.in_(some))
        for row in connection.execute(rows.order_by(columns.name).with_for_update()):
            found[row.name] = row.holder
    return found


def _finish(connection: Connection, results: list[Result], until: int) -> None:
    """Mark jobs as done. Their targets may be probed again from a moment on."""
    if results:
        rows = [{"row": _lease_of(each), "done": _done(each), "end": until} for each in results]
        connection.execute(_FINISH, rows)


def _give_up(watch: Watch, worker: Worker, result: Result) -> None:
    """Let the job count as done, and leave its target alone for a while."""
    with watch.store.write() as connection:
        _take_turn(connection)
        name = _lease_of(result)
        if _locked(connection, [name]).get(name) == worker.holds(result.slot):
            _finish(connection, [result], int(watch.clock().timestamp()) + _UNFIT)


def _targets(watch: Watch) -> tuple[Target, ...]:
    sets, settings = watch.watched.snapshot().sets, watch.settings.monitor
    return targets_of(charges(sets, settings, watch.clock()))


def _asked(watch: Watch) -> dict[Key, bool]:
    """Each target and location of this service, and whether it probes every address."""
    return {
        (*target.key, vantage): target.every_address
        for target in _targets(watch)
        for vantage in target.vantages
    }


def _fits(result: Result, asked: Mapping[Key, bool]) -> bool:
    """Whether it answers a question. Each edge is a row: a job for one answer has one."""
    every = asked.get((result.host, result.port, result.way, result.vantage))
    return every or (every is not None and [seen.edge for seen in result.seen] == [""])


def _note(worker: Worker, results: Sequence[Result], fates: Sequence[Fate]) -> None:
    for result, fate in zip(results, fates, strict=True):
        if fate == "kept":
            for seen in result.seen:
                COUNTERS.probed(seen.outcome, seen.took / 1_000_000)
    for fate, count in Counter(fates).items():
        if fate not in {"kept", "repeat"}:
            log.warning(
                "%d results of %s, a worker of the location %s, are dropped: %s",
                *(count, worker.token, worker.location, _WHY[fate]),
            )


_WHY: dict[Fate, str] = {
    "foreign": "they are for another location than its token",
    "unasked": "this service does not probe those hosts in that way",
    "not-held": "it does not hold those jobs",
    "unfit": "no database takes them",
}


def _lease_of(one: Job | Result) -> str:
    return PROBES + one.identity


def _of_jobs() -> ColumnElement[bool]:
    return LEASES.c.name.startswith(PROBES, autoescape=True)


def _held_by(worker: Worker) -> ColumnElement[bool]:
    return LEASES.c.holder.endswith(worker.holds(), autoescape=True)


def _is_ahead(now: int) -> ColumnElement[bool]:
    """Taken by a clock that ran ahead: its end says nothing."""
    return LEASES.c.until > now + max(LEASE, _UNFIT) + _AHEAD


def _parts(names: list[str]) -> Iterable[list[str]]:
    return (names[at : at + _AT_ONCE] for at in range(0, len(names), _AT_ONCE))
