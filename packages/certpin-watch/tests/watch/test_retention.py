"""Retention deletes expired rows, and no others."""

from __future__ import annotations

import asyncio
from contextlib import closing
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert, select, text, update

from certpin.errors import ConfigError, StoreError
from certpin.pinfile.file import Table as Fields
from certpin_watch import retention as task
from certpin_watch.context import Watch
from certpin_watch.retention import RetentionTask, run
from certpin_watch.settings import RetentionSettings, ServiceSettings
from certpin_watch.settings.reader import read_table
from certpin_watch.snapshot import PinFiles, Snapshot
from certpin_watch.store import connections, open_store
from certpin_watch.store.connections import path_of
from certpin_watch.store.identities import DAY
from certpin_watch.store.queries.freshness import freshness
from certpin_watch.store.quota import BATCH
from certpin_watch.store.retention import (
    chain_columns,
    cutoff_times,
    retention_steps,
    table_steps,
)
from certpin_watch.store.tables import METADATA
from certpin_watch.store.tables.observations import (
    CERTIFICATES,
    CHAINS,
    DAY_PLACES,
    DAY_TRAITS,
    PRESENCES,
    REPORT_GROUPS,
    REPORT_IDENTITIES,
    REPORT_PLACES,
    REPORT_SAMPLES,
    REPORT_TRAITS,
    SIGHTINGS,
)
from certpin_watch.store.tables.service import (
    ALERT_EVENTS,
    ALERTS,
    AUDIT,
    GUESSES,
    SILENCES,
    SWEEPS,
    TELLINGS,
)
from certpin_watch.web.unknowns import of_service
from tests.watch.store._rows import value

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Column, Connection, Table

    from certpin_watch.store import Store
    from certpin_watch.store.retention import Step

NOW = datetime(2027, 3, 1, tzinfo=UTC)
AT = int(NOW.timestamp())

# Each kind: its table, and the column with the time that counts.
KINDS: dict[str, tuple[Table, str]] = {
    "groups": (REPORT_GROUPS, "hour"),
    "samples": (REPORT_SAMPLES, "received_at"),
    "identities": (REPORT_IDENTITIES, "received_at"),
    "presences": (PRESENCES, "day"),
    "sightings": (SIGHTINGS, "last_at"),
    "alerts": (ALERTS, "resolved_at"),
    "audit": (AUDIT, "at"),
}


def _put(store: Store, table: Table, number: int = 1, **given: Any) -> None:
    row = {column.name: value(column, number) for column in table.columns} | given
    with store.write() as connection:
        connection.execute(insert(table), row)


def _left(store: Store, column: Column[Any]) -> list[Any]:
    with store.read() as connection:
        return sorted(connection.execute(select(column)).scalars())


def _sweep(store: Store, settings: RetentionSettings | None = None, now: datetime = NOW) -> None:
    """Delete everything that is expired or in excess."""
    for step in _steps(store, settings or RetentionSettings(), now).values():
        while _once(store, step):
            pass


def _steps(store: Store, settings: RetentionSettings, now: datetime) -> dict[str, Step]:
    limits = ServiceSettings().collector
    return retention_steps(settings, limits, now, timedelta(0), is_sqlite=store.is_sqlite)


def _all_once(store: Store) -> int:
    """Run one batch of each table. Return the number of rows that were deleted or checked."""
    steps = table_steps(cutoff_times(RetentionSettings(), NOW))
    return sum(_once(store, step) for step in steps.values())


def _once(store: Store, step: Step, batch: int = BATCH) -> int:
    with store.write() as connection:
        return step(connection, batch)


@pytest.mark.medium
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_kept_for_exactly_its_days(store: Store, kind: str) -> None:
    table, when = KINDS[kind]
    limit = cutoff_times(RetentionSettings(), NOW)[kind]
    more = {"latest": False} if table is SIGHTINGS else {}
    for number, moment in enumerate((limit - 1, limit, AT), 1):
        _put(store, table, number, **{when: moment}, **more)
    _sweep(store)
    assert _left(store, table.c[when]) == [limit, AT]


def test_sums_are_deleted_with_the_last_group_of_their_day(store: Store) -> None:
    limit = cutoff_times(RetentionSettings(), NOW - timedelta(hours=7))["groups"]
    day = limit // DAY * DAY
    for number, at in enumerate((day - DAY, day), 1):
        for table in (REPORT_TRAITS, REPORT_PLACES):
            _put(store, table, number, id=number, seen=at)
        _put(store, DAY_TRAITS, number, day=at, trait=number)
        _put(store, DAY_PLACES, number, day=at, trait=number, place=number)
    _sweep(store, now=NOW - timedelta(hours=7))
    for table in (DAY_TRAITS, DAY_PLACES):
        assert _left(store, table.c.day) == [day]
    for table in (REPORT_TRAITS, REPORT_PLACES):
        assert _left(store, table.c.id) == [2]


def test_current_rows_are_kept_however_old_they_are(store: Store) -> None:
    _put(store, SIGHTINGS, 1, last_at=1, latest=True)
    _put(store, ALERTS, 2, resolved_at=None)
    _put(store, SILENCES, 3, until=AT + 1)
    _sweep(store)
    for table in (SIGHTINGS, ALERTS, SILENCES):
        assert len(_left(store, table.c.id)) == 1


def test_an_alert_is_deleted_with_its_events_and_notifications(store: Store) -> None:
    _put(store, ALERTS, 1, resolved_at=1)
    _put(store, ALERTS, 2, resolved_at=None)
    for number, alert in enumerate((1, 1, 2), 1):
        _put(store, ALERT_EVENTS, number, alert=alert)
        _put(store, TELLINGS, number, alert=alert)
    _sweep(store)
    assert _left(store, ALERT_EVENTS.c.alert) == [2]
    assert _left(store, TELLINGS.c.alert) == [2]


def _chain(*names: str) -> tuple[bytes, bytes]:
    members = b"".join(sha256(name.encode()).digest() for name in names)
    return sha256(members).digest(), members


def _put_chain(store: Store, *names: str) -> bytes:
    digest, members = _chain(*names)
    _put(store, CHAINS, digest=digest, members=members)
    return digest


def test_unreferenced_chains_and_certificates_are_deleted(store: Store) -> None:
    reported = _put_chain(store, "leaf 1", "root")
    seen = _put_chain(store, "leaf 2", "root")
    _put_chain(store, "leaf 3", "root", "old root")
    for name in ("leaf 1", "leaf 2", "leaf 3", "root", "old root"):
        _put(store, CERTIFICATES, sha256=sha256(name.encode()).digest(), der=name.encode())
    _put(store, REPORT_GROUPS, served=reported, hour=AT)
    _put(store, SIGHTINGS, served=b"", verified=seen, last_at=AT)
    _sweep(store)
    assert set(_left(store, CHAINS.c.digest)) == {reported, seen}
    assert _left(store, CERTIFICATES.c.der) == [b"leaf 1", b"leaf 2", b"root"]
    _sweep(store, RetentionSettings(groups=1))
    assert set(_left(store, CHAINS.c.digest)) == {reported, seen}


def test_every_column_that_refers_to_a_chain_is_checked() -> None:
    digests = {
        f"{table.name}.{column.name}"
        for table in METADATA.sorted_tables
        for column in table.columns
        if column.name in {"served", "verified", "chain"}
    }
    assert digests == {f"{column.table.name}.{column.name}" for column in chain_columns()}


@pytest.mark.medium
def test_a_step_deletes_one_batch(store: Store) -> None:
    for number in range(1, 6):
        _put(store, REPORT_IDENTITIES, number, received_at=1)
        _put(store, PRESENCES, number, day=1)
    steps = _steps(store, RetentionSettings(), NOW)
    for name in ("report_identities", "presences"):
        assert [_once(store, steps[name], 2) for _ in range(4)] == [2, 2, 1, 0]


@given(at=st.integers(0, 2**33), days=st.integers(1, 36_500))
def test_cutoffs_never_come_early(at: int, days: int) -> None:
    moment = datetime.fromtimestamp(at, UTC)
    found = cutoff_times(RetentionSettings(groups=days), moment)
    names = {field.name for field in fields(RetentionSettings)}
    assert found.keys() == names | {"guesses", "networks"}
    assert 0 <= found["groups"] <= moment.timestamp() - days * DAY or found["groups"] == 0
    later = cutoff_times(RetentionSettings(groups=days), moment + timedelta(seconds=1))
    assert all(later[name] >= found[name] for name in found)


@pytest.mark.medium
def test_deleted_reports_are_overwritten_and_the_file_shrinks(
    sqlite_store: Store,
) -> None:
    path = path_of(sqlite_store.engine)
    secret = b"10.20.30.0/24 was here"
    for number in range(60):
        _put(sqlite_store, REPORT_SAMPLES, number, id=number + 1, received_at=1, body=secret * 3000)
    with sqlite_store.read() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    full = path.stat().st_size
    assert secret in path.read_bytes()
    _sweep(sqlite_store)
    sqlite_store.close()  # the WAL is merged into the file
    assert path.stat().st_size < full / 4
    assert secret not in path.read_bytes()


@pytest.mark.parametrize(
    ("table", "problem"), [({"groups": 0}, "1 to"), ({"samples": 99_999}, "1 to"),
                           ({"audit": "long"}, "whole number")],
)  # fmt: skip
def test_invalid_days_are_refused(table: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        read_table(RetentionSettings, Fields(table, "retention"))


def test_valid_days_are_read() -> None:
    assert read_table(RetentionSettings, Fields({"samples": 7}, "retention")) == RetentionSettings(
        samples=7
    )


def test_the_task_runs_until_it_is_stopped_and_survives_errors(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    _put(sqlite_store, REPORT_IDENTITIES, received_at=1)
    monkeypatch.setattr(task, "ROUND", 0.01)
    monkeypatch.setattr(task, "PAUSE", 0)
    tried: list[int] = []

    def away_first(cutoffs: dict[str, int]) -> dict[str, Step]:
        tried.append(1)
        if len(tried) == 1:
            raise StoreError("away", reason="away")
        return table_steps(cutoffs)

    monkeypatch.setattr("certpin_watch.store.retention.table_steps", away_first)

    async def work() -> None:
        stop = asyncio.Event()
        watch = Watch(ServiceSettings(), sqlite_store, PinFiles(()), lambda: NOW)
        running = asyncio.create_task(run(watch, stop))
        async with asyncio.timeout(20):
            while _left(sqlite_store, REPORT_IDENTITIES.c.received_at):  # noqa: ASYNC110  # no event of ours
                await asyncio.sleep(0.01)
            stop.set()
            await running

    asyncio.run(work())
    assert len(tried) > 1


@pytest.mark.medium
def test_after_a_clock_jump_nothing_is_deleted_for_a_day(
    sqlite_store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    moved = [NOW]
    watch = Watch(ServiceSettings(), sqlite_store, PinFiles(()), lambda: moved[0])
    _put(sqlite_store, REPORT_IDENTITIES, received_at=AT)

    def left_after(step: timedelta) -> int:
        moved[0] += step
        asyncio.run(RetentionTask(watch, asyncio.Event()).round())  # as a new process
        return len(_left(sqlite_store, REPORT_IDENTITIES.c.received_at))

    assert left_after(timedelta(0)) == 1
    assert left_after(timedelta(days=3650)) == 1
    assert "the clock jumped ahead since 2027-03-01 00:00 UTC" in caplog.text
    assert left_after(timedelta(hours=23)) == 1
    assert left_after(timedelta(days=-3650)) == 1  # corrected
    assert left_after(timedelta(hours=20)) == 1
    assert left_after(timedelta(days=30)) == 1
    assert left_after(timedelta(days=1)) == 0


def test_identities_are_kept_longer_while_reports_wait() -> None:
    usual = cutoff_times(RetentionSettings(), NOW)
    waiting = cutoff_times(RetentionSettings(), NOW, timedelta(days=5))
    assert usual["identities"] - waiting["identities"] == 5 * DAY
    assert waiting | {"identities": 0} == usual | {"identities": 0}
    assert cutoff_times(RetentionSettings(), NOW, timedelta(days=999))["identities"] > 0


async def _until_it_waits(connection: Connection) -> None:
    """Return when another transaction waits for a lock."""
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    async with asyncio.timeout(20):
        while not connection.execute(waiting).scalar():  # noqa: ASYNC110  # no event of ours
            await asyncio.sleep(0.01)


def test_a_chain_that_gets_a_reference_meanwhile_is_not_deleted(postgres_store: Store) -> None:
    """The collector and retention run at once: retention waits for the collector."""
    digest = _put_chain(postgres_store, "leaf")

    async def work() -> int:
        with postgres_store.write() as connection:
            again = {column.name: value(column, 9) for column in CHAINS.columns}
            connection.execute(insert(CHAINS), again)
            group = {column.name: value(column, 1) for column in REPORT_GROUPS.columns}
            sweeping_now = asyncio.create_task(asyncio.to_thread(_all_once, postgres_store))
            await _until_it_waits(connection)
            connection.execute(insert(REPORT_GROUPS), group | {"served": digest, "hour": AT})
        return await sweeping_now

    asyncio.run(work())
    assert digest in _left(postgres_store, CHAINS.c.digest)


def test_a_row_that_is_updated_meanwhile_is_not_deleted(postgres_store: Store) -> None:
    """A login fails again, which updates the row of failed logins just when the row expires."""
    _put(postgres_store, GUESSES, last_at=1)

    async def work() -> int:
        with postgres_store.write() as connection:
            connection.execute(update(GUESSES).values(last_at=AT))
            sweeping_now = asyncio.create_task(asyncio.to_thread(_all_once, postgres_store))
            await _until_it_waits(connection)
        return await sweeping_now

    assert asyncio.run(work()) == 0
    assert _left(postgres_store, GUESSES.c.last_at) == [AT]


def _limited(url: str, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Open a store. PostgreSQL cancels its statements after a second.

    Also on a busy machine, that is enough for each statement that no trigger makes slow.
    """
    monkeypatch.setitem(connections._SETTINGS, "statement_timeout", "1000")  # milliseconds
    return open_store(url)


# Make deletion slow: the argument is in seconds per row.
_SLOW = """
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_sleep(TG_ARGV[0]::float); RETURN OLD; END $$;
CREATE TRIGGER slow BEFORE DELETE ON presences FOR EACH ROW EXECUTE FUNCTION slow(0.012);
CREATE TRIGGER slow BEFORE DELETE ON audit FOR EACH ROW EXECUTE FUNCTION slow(5);
"""


def test_a_slow_kind_does_not_stop_the_others(
    new_database: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """PostgreSQL cancels slow deletions from two tables. Rows of all other kinds are still deleted.

    In the same round, the presences are deleted in smaller batches. Not even one row of the audit
    log can be deleted in time: a later round deletes it, when deletion is fast again.
    """
    monkeypatch.setattr(task, "PAUSE", 0)
    url, moved = new_database(), [NOW]
    with closing(open_store(url)) as store:
        METADATA.create_all(store.engine)
        for number in range(1, 201):
            _put(store, PRESENCES, number, day=1)
        for table, when in KINDS.values():
            more = {"latest": False} if table is SIGHTINGS else {}
            _put(store, table, 201, **{when: 1}, **more)
        with store.write() as connection:
            connection.exec_driver_sql(_SLOW)
    with closing(_limited(url, monkeypatch)) as store:
        watch = Watch(ServiceSettings(), store, PinFiles(()), lambda: moved[0])

        def round_() -> dict[str, str]:
            asyncio.run(RetentionTask(watch, asyncio.Event()).round())
            with store.read() as connection:
                return {row.kind: row.reason for row in connection.execute(select(SWEEPS))}

        reasons = round_()
        assert len(reasons) > 20
        assert {kind for kind, reason in reasons.items() if reason} == {"audit"}
        assert reasons["audit"] == "busy"
        assert len(_left(store, AUDIT.c.at)) == 1
        for table, when in KINDS.values():
            assert table is AUDIT or _left(store, table.c[when]) == []
        assert "retention of audit failed: the database was busy for too long" in caplog.text
        with store.read() as connection:
            fresh = freshness(connection, Snapshot((), ()), NOW)
        assert [(sweep.kind, sweep.done_at) for sweep in fresh.failing] == [("audit", None)]
        assert any(
            "Old rows of audit are not deleted" in sentence for sentence in of_service(fresh, NOW)
        )

        with store.write() as connection:
            connection.exec_driver_sql("DROP TRIGGER slow ON audit")
        moved[0] += timedelta(hours=1)
        assert set(round_().values()) == {""}
        assert _left(store, AUDIT.c.at) == []


def test_completed_batches_stay_deleted(
    new_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL cancels a statement after some batches: these stay deleted."""
    monkeypatch.setattr(task, "PAUSE", 0)
    url = new_database()
    with closing(open_store(url)) as store:
        METADATA.create_all(store.engine)
        for number in range(1, 101):
            _put(store, PRESENCES, number, day=1)
        with store.write() as connection:
            connection.exec_driver_sql(
                _SLOW.replace("FOR EACH ROW EXECUTE FUNCTION slow(0.012)",
                              "FOR EACH ROW WHEN (OLD.version > 80) EXECUTE FUNCTION slow(5)")
            )  # fmt: skip
    with closing(_limited(url, monkeypatch)) as store:
        work = RetentionTask(
            Watch(ServiceSettings(), store, PinFiles(()), lambda: NOW), asyncio.Event()
        )
        asyncio.run(work.round())
        left = _left(store, PRESENCES.c.version)
        assert left
        assert len(left) < 100
