"""Batches into the store: one report that no database takes stands in nobody's way."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import DataError

from certpin_watch.collector import intake
from certpin_watch.collector.counting import count
from certpin_watch.collector.intake import Committer, NotDurableError
from certpin_watch.snapshot import Patterns, Watched
from certpin_watch.store.tables.reports import REPORT_GROUPS, REPORT_IDENTITIES
from tests import kit
from tests.watch.collector.serving import make_watch
from tests.watch.collector.test_counting import body, failure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from certpin_watch.collector.decode import ReceivedBody
    from certpin_watch.snapshot import Watch
    from certpin_watch.store import Store

POISON = failure(5)
_PINS = """\
schema = 1
name = "bank-app"
version = 1
[[host]]
name = "*.bank.example"
expires = 2099-01-01
pin = [{{ pin = "{}", role = "leaf" }}, {{ pin = "{}", role = "backup" }}]
"""


@pytest.fixture
def watch(sqlite_store: Store, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """Its database does not take one of the reports."""

    def picky(connection: Any, batch: Sequence[ReceivedBody], *more: Any) -> Any:
        if any(POISON in each.records for each in batch):
            raise DataError("INSERT", None, ValueError("it does not fit"))
        return count(connection, batch, *more)

    monkeypatch.setattr(intake, "count", picky)
    return replace(make_watch("sqlite:///unused.db"), store=sqlite_store)


BATCH = [*(body(failure(n)) for n in range(5)), body(POISON), body(failure(6))]


def rows(store: Store) -> tuple[int, int]:
    """The sum of the groups, and the number of identities: these have no day."""
    with store.read() as connection:
        total = connection.execute(select(func.sum(REPORT_GROUPS.c.count))).scalar_one()
        known = select(func.count()).select_from(REPORT_IDENTITIES)
        return int(total), connection.execute(known).scalar_one()


def test_a_writer_gives_up_what_the_database_does_not_take_and_counts_the_others(
    watch: Watch,
) -> None:
    Committer(watch, drop=True).commit(BATCH)
    assert rows(watch.store) == (6, 6)


def test_an_intake_says_so_to_whoever_waits(watch: Watch) -> None:
    with pytest.raises(NotDurableError, match="rejects this report"):
        Committer(watch).commit(BATCH)
    assert rows(watch.store) == (6, 6)


def test_a_store_that_fails_is_told_of_once_and_when_it_is_back(
    sqlite_store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    watch = replace(make_watch("sqlite:///unused.db"), store=sqlite_store)
    committer = Committer(watch)
    caplog.set_level(logging.INFO)
    with sqlite_store.write() as connection:
        connection.exec_driver_sql("ALTER TABLE report_groups RENAME TO away")
    for _ in range(3):
        with pytest.raises(NotDurableError):
            committer.commit(BATCH)
    with sqlite_store.write() as connection:
        connection.exec_driver_sql("ALTER TABLE away RENAME TO report_groups")
    committer.commit(BATCH)
    assert [each.getMessage() for each in caplog.records] == [
        "reports wait, because the store fails: schema",
        "the store accepts reports again",
    ]


def test_each_host_is_a_part_by_itself_or_one_with_its_pattern(tmp_path: Path) -> None:
    path = tmp_path / "pins.toml"
    assert Patterns().share("evil.example") == "*"
    path.write_text(_PINS.format(kit.NOBODY, kit.NOBODY_ELSE))
    patterns = Patterns(
        Watched((path,)).snapshot().sets, frozenset({"api.bank.example", "x.example"})
    )
    hosts = ("api.bank.example", "a.bank.example", "b.bank.example", "x.example", "no host")
    shares = ["api.bank.example", "*.bank.example", "*.bank.example", "", ""]
    assert [patterns.share(host) for host in hosts] == shares
