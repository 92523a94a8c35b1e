"""Leases: the right of one process at a time to do some work, or to run a probe job.

A lease expires after some time, so that a holder that died doesn't block others for long. Clocks
differ and processes are suspended, so a holder must follow three rules:

1. Take the lease in a transaction, and renew it before half of its time is over.
2. Stop when ``HeldLease.is_valid_at`` is False. This is ``MARGIN`` seconds before the lease ends
   and other processes can take it.
3. Call ``confirm`` in each transaction with changes that only the holder must make. This is safe
   even if the clocks are wrong, because the lease's row is locked until the transaction ends.

NOT checked: that the machines' clocks agree to within ``MARGIN`` seconds. If they don't, two
processes can work at the same time for a while. Then only ``confirm`` prevents double writes.

A probe job has a lease, too. Its name has the job's identity: the digest of target and location.
Its column ``holder`` has the *slot*, which is the planned time of the probe, then a space, and
``TOKEN/PROCESS`` of the worker that has the job; nothing follows the space if the job is done.
Another worker can claim the job when the lease has ended.

If a clock runs ahead, a lease can end far in the future. The functions for jobs get the latest time
at which a valid lease can end as ``latest``, in seconds since 1970. They ignore a lease that ends
later.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import bindparam, case, delete, or_, select, update

from certpin_watch.store.engine import advisory_lock, insert, pieces
from certpin_watch.store.tables.service import LEASES, PROBES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sqlalchemy import ColumnElement, Connection

TRIAL = "trial"  # the name of the lease that `schema.check_tables` writes; it expires at once
MARGIN = 5  # seconds by which clocks may differ
_MAX_AHEAD = 600  # seconds after the end of a new lease in which one from a correct clock ends

_MAX_ROWS = 200  # in one statement: SQLite limits its variables

_FINISH = (
    update(LEASES)
    .where(LEASES.c.name == bindparam("row"))
    .values(holder=bindparam("done"), until=bindparam("end"))
)


@dataclass(frozen=True)
class HeldLease:
    """The right of one process to do some work until a time.

    Attributes:
        name: the name of the work, such as that of a background task.
        holder: the name of the process.
        until: when the lease expires, in seconds since 1970.
        term: the number of times that the lease was taken. It rises when another process takes the
            lease, and when the same process takes it again after it expired, but not when it is
            renewed. So ``confirm`` and ``renew`` recognise a lease that was lost in between.
    """

    name: str
    holder: str
    until: int
    term: int

    def is_valid_at(self, now: int) -> bool:
        """Return True if the holder is allowed to continue its work at ``now``, by its own clock.

        That is until ``MARGIN`` seconds before the lease (the right to do the work) ends, because
        clocks differ.
        """
        return now < self.until - MARGIN


def take(
    connection: Connection, name: str, holder: str, now: int, seconds: int
) -> HeldLease | None:
    """Take the lease of some work if it is free or expired, or renew it if the holder has it.

    A lease is the right of one process to do some work until a time. A lease that ends too far in
    the future was taken while a clock ran ahead. It counts as free: if its holder died, the work
    would otherwise stop until that end.

    Args:
        connection: a transaction that may write.
        name: the name of the work.
        holder: the name of the process. It must be unique to the process, not only to the machine.
        now: seconds since 1970.
        seconds: the time until the lease expires.

    Returns:
        The lease; None if another process has it.
    """
    new = insert(connection, LEASES).values(name=name, holder=holder, until=now + seconds, term=1)
    continued = (LEASES.c.holder == holder) & (LEASES.c.until > now)
    statement = new.on_conflict_do_update(
        index_elements=[LEASES.c.name],
        set_={
            "holder": holder,
            "until": now + seconds,
            "term": case((continued, LEASES.c.term), else_=LEASES.c.term + 1),
        },
        where=or_(
            LEASES.c.holder == holder,
            LEASES.c.until <= now,
            LEASES.c.until > now + seconds + _MAX_AHEAD,
        ),
    ).returning(LEASES.c.term)
    term = connection.execute(statement).scalar_one_or_none()
    return None if term is None else HeldLease(name, holder, now + seconds, term)


def renew(connection: Connection, lease: HeldLease, now: int, seconds: int) -> HeldLease | None:
    """Extend a lease (the right of one process to do some work) to ``seconds`` after ``now``.

    Returns:
        The extended lease; None if the lease has expired or another process has it. Then the holder
        must stop the work.
    """
    statement = update(LEASES).where(_is_mine(lease), LEASES.c.until > now)
    done = connection.execute(statement.values(until=now + seconds))
    return replace(lease, until=now + seconds) if done.rowcount else None


def release(connection: Connection, lease: HeldLease) -> None:
    """End a lease (the right to do some work), so that another process can take it at once.

    If another process has taken the lease already, nothing changes. The row stays in the table,
    because its number ``term`` must rise with the next holder.
    """
    connection.execute(update(LEASES).where(_is_mine(lease)).values(until=0))


def confirm(connection: Connection, lease: HeldLease) -> bool:
    """Return True if no other process has taken the lease since this process took or renewed it.

    A lease is the right of one process to do some work. If the result is True, no other process can
    take the lease until the transaction of ``connection`` (which must be a ``Store.write``) ends.
    """
    found = select(LEASES.c.term).where(_is_mine(lease)).with_for_update()
    return connection.execute(found).first() is not None


def _is_mine(lease: HeldLease) -> ColumnElement[bool]:
    return (
        (LEASES.c.name == lease.name)
        & (LEASES.c.holder == lease.holder)
        & (LEASES.c.term == lease.term)
    )


class WorkerIdentity(NamedTuple):
    """The identity of a process that probes hosts (a worker), as the holder of probe jobs.

    ``location`` and ``token`` are the location and the name of the token with which the worker
    authenticates. ``process`` is a random number that distinguishes workers with the same token.
    """

    location: str
    token: str
    process: str

    def holder(self, slot: int | str = "") -> str:
        """Return the text that names this worker as the holder of a probe job, for the database.

        A lease is the right to run the job. Its column ``holder`` gets the slot (the planned time
        of the job, in seconds since 1970), a space, and the worker. Without a slot, the result is
        only the space and the worker: the column ends with this text in each lease of the worker.
        """
        return f"{slot} {self.token}/{self.process}"


def finished(slot: int) -> str:
    """Return the text that marks a probe job as done, for the column ``holder`` of its lease.

    ``slot`` is the time for which the job was planned, in seconds since 1970. A lease is the right
    of a worker to run a job.
    """
    return f"{slot} "


def lock_jobs(connection: Connection) -> None:
    """Prevent other processes from changing leases of probe jobs until this transaction ends.

    A lease is the right of a worker to run a job. Without this lock, two transactions could
    deadlock, because each changes several rows, in an order that the database chooses. On SQLite,
    which has only one writer, this does nothing.
    """
    advisory_lock(connection, b"certpin watch jobs")


def leased_jobs(connection: Connection, now: int, latest: int) -> set[str]:
    """Return the identities (digests) of the probe jobs that no worker can claim at ``now``.

    A job can't be claimed while a worker has it. After it is done, it can't be claimed until the
    time that was passed to ``finish_jobs``. ``now`` is in seconds since 1970. Leases that end after
    ``latest`` are ignored, because a wrong clock wrote them.
    """
    chosen = select(LEASES.c.name).where(_is_job(), LEASES.c.until > now, LEASES.c.until <= latest)
    return {name.removeprefix(PROBES) for name in connection.execute(chosen).scalars()}


def claim_jobs(
    connection: Connection,
    worker: WorkerIdentity,
    slots: Mapping[str, int],
    *,
    now: int,
    until: int,
    latest: int,
) -> set[str]:
    """Give probe jobs to a worker, except jobs that a worker already has.

    The worker gets a lease of each job: the right to run it until a time. A job's identity is a
    digest.

    Args:
        connection: a transaction that holds ``lock_jobs``.
        worker: the new holder.
        slots: the slot (planned time) of each job, by the job's identity. A job that was done for
            its slot in the meantime is not taken.
        now: in seconds since 1970.
        until: when the leases end, in seconds since 1970.
        latest: the latest time at which a valid lease can end. A lease that ends later is ignored.

    Returns:
        The identities of the jobs that the worker got.
    """
    taken: set[str] = set()
    for names in _batches(slots):
        rows = [
            {
                "name": name,
                "holder": worker.holder(slots[name.removeprefix(PROBES)]),
                "until": until,
                "term": 1,
            }
            for name in names
        ]
        new = insert(connection, LEASES).values(rows)
        is_free = or_(LEASES.c.until <= now, LEASES.c.until > latest)
        statement = new.on_conflict_do_update(
            index_elements=[LEASES.c.name],
            set_={
                "holder": new.excluded.holder,
                "until": new.excluded.until,
                "term": LEASES.c.term + 1,
            },
            where=is_free & ~_is_done(new.excluded.holder),
        ).returning(LEASES.c.name)
        taken.update(connection.execute(statement).scalars())
    return {name.removeprefix(PROBES) for name in taken}


def renew_jobs(
    connection: Connection, worker: WorkerIdentity, identities: Iterable[str], until: int
) -> None:
    """Extend a worker's leases of these probe jobs to ``until``, in seconds since 1970.

    A lease is the right to run a job. ``identities`` are the digests that identify the jobs. Jobs
    that this worker does not hold are left unchanged.
    """
    for names in _batches(identities):
        chosen = LEASES.c.name.in_(names) & _held_by(worker)
        connection.execute(update(LEASES).where(chosen).values(until=until))


def return_jobs(connection: Connection, worker: WorkerIdentity, identities: Iterable[str]) -> None:
    """Delete a worker's leases of these probe jobs, so that others can claim the jobs at once.

    A lease is the right to run a job. ``identities`` are the digests that identify the jobs. Jobs
    that this worker does not hold are left unchanged.
    """
    for names in _batches(identities):
        connection.execute(delete(LEASES).where(LEASES.c.name.in_(names), _held_by(worker)))


def forget_jobs(connection: Connection, before: int) -> None:
    """Delete the leases of probe jobs that ended before a time, given in seconds since 1970.

    A lease is the right of a worker to run a job. This removes the leases of targets that are no
    longer probed, which would otherwise stay in the table.
    """
    connection.execute(delete(LEASES).where(_is_job(), LEASES.c.until < before))


def job_holders(connection: Connection, identities: Iterable[str]) -> dict[str, str]:
    """Return the text in the column ``holder`` of each probe job's lease, by the job's identity.

    A lease is the right of a worker to run the job. The text has the planned time of the job, and
    the worker that has the job if it isn't done. The rows are locked until the transaction ends.
    Jobs without a lease are left out.
    """
    found: dict[str, str] = {}
    columns = LEASES.c
    for names in _batches(identities):
        rows = select(columns.name, columns.holder).where(columns.name.in_(names))
        for row in connection.execute(rows.order_by(columns.name).with_for_update()):
            found[row.name.removeprefix(PROBES)] = row.holder
    return found


def finish_jobs(connection: Connection, slots: Mapping[str, int], until: int) -> None:
    """Mark each probe job as done for its slot (the planned time of the probe).

    No worker can claim the job again before ``until``, in seconds since 1970.

    Args:
        connection: a transaction that holds ``lock_jobs``.
        slots: the slot of each job, by the job's identity.
        until: when the jobs can be claimed again.
    """
    if slots:
        rows = [
            {"row": PROBES + identity, "done": finished(slot), "end": until}
            for identity, slot in slots.items()
        ]
        connection.execute(_FINISH, rows)


def _is_job() -> ColumnElement[bool]:
    return LEASES.c.name.startswith(PROBES, autoescape=True)


def _held_by(worker: WorkerIdentity) -> ColumnElement[bool]:
    return LEASES.c.holder.endswith(worker.holder(), autoescape=True)


def _is_done(holder: ColumnElement[str]) -> ColumnElement[bool]:
    """Return the SQL condition that a stored lease is that of a done probe job with the same slot.

    A lease is the right of a worker to run a job. ``holder`` is the new text for the column
    ``holder``, with which a worker tries to claim the job. It begins with the slot (the planned
    time of the probe) and a space. When a job is done, the stored text is shortened so that it ends
    with this space. So the condition is that the stored text ends with a space, and ``holder``
    begins with it.
    """
    return LEASES.c.holder.endswith(" ") & holder.startswith(LEASES.c.holder)


def _batches(identities: Iterable[str]) -> Iterator[list[str]]:
    """Yield the names of the leases of these probe jobs, in lists of at most ``_MAX_ROWS``.

    ``identities`` are the digests that identify the jobs. An SQL statement can have only a limited
    number of values. A lease is the right of a worker to run a job.
    """
    return pieces({PROBES + identity for identity in identities}, _MAX_ROWS)
