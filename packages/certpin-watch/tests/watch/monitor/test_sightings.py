"""Check how probe results are stored as sightings.

A sighting is a row for consecutive equal results. It is extended until a result differs, and each
result counts once.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from sqlalchemy import select

from certpin_watch.monitor.results import AddressResult, ProbeResult
from certpin_watch.monitor.sightings import last_probes, record_results
from certpin_watch.store.probes import note_scheduled
from certpin_watch.store.tables.observations import SIGHTINGS, VANTAGES
from tests.watch.rules import _probes as scenes

if TYPE_CHECKING:
    from certpin_watch.store import Store

START = 1_800_000_000
CHAIN = tuple(certificate.der for certificate in scenes.path("leaf").certificates)
GOOD = AddressResult("192.0.2.7", "verified", served=(0, 1), verified=(0, 1, 2), tls="TLSv1.3")
SILENT = AddressResult("192.0.2.7", "unreachable", problem="connection refused")
KEY = ("api.bank.test", 443, "", "local")


def result(slot: int, *seen: AddressResult, **fields: Any) -> ProbeResult:
    """Return a probe result that was due at ``slot`` (seconds after START) and ran three seconds
    later.
    """
    made = ProbeResult(
        "api.bank.test", 443, "", "local", START + slot, START + slot + 3, seen, CHAIN
    )
    return msgspec.structs.replace(made, **fields)


def keep(store: Store, *results: ProbeResult, at: int = 10**6) -> int:
    with store.write() as connection:
        return record_results(connection, results, datetime.fromtimestamp(START + at, UTC))


def rows(store: Store) -> list[Any]:
    with store.read() as connection:
        return list(connection.execute(select(SIGHTINGS).order_by(SIGHTINGS.c.id)))


def test_a_sighting_is_extended_until_something_changes(store: Store) -> None:
    keep(store, result(0, GOOD))
    slow = msgspec.structs.replace(GOOD, took=90_000)
    keep(store, result(900, GOOD), result(1800, slow))
    keep(store, result(2700, SILENT))
    first, second = rows(store)
    assert (first.count, first.first_at, first.last_at) == (3, START + 3, START + 1803)
    assert (first.latest, second.latest, first.took) == (False, True, 90_000)
    assert (second.outcome, second.changes) == ("unreachable", 0)
    keep(store, result(3600, GOOD))  # the sighting before was seen only once
    assert rows(store)[-1].changes == 1
    with store.read() as connection:
        found = last_probes(connection, "local")[KEY]
    assert (found.slot, found.count, found.changes) == (START + 3600, 1, 1)


def test_a_repeated_or_older_result_does_not_count(store: Store) -> None:
    assert keep(store, result(900, GOOD)) == 1
    assert keep(store, result(900, GOOD)) == 0
    assert keep(store, result(0, SILENT)) == 0
    (row,) = rows(store)
    assert (row.count, row.outcome) == (1, "verified")


def test_a_result_for_a_future_slot_does_not_count(sqlite_store: Store) -> None:
    assert keep(sqlite_store, result(901, GOOD), at=900) == 0


@pytest.mark.medium
def test_the_time_of_a_result_is_between_its_slot_and_now(sqlite_store: Store) -> None:
    keep(sqlite_store, result(900, GOOD, at=0), at=1000)
    keep(sqlite_store, result(1800, GOOD, at=START + 10**9), at=1850)
    (row,) = rows(sqlite_store)
    assert (row.first_at, row.last_at) == (START + 900, START + 1850)


def test_results_count_again_after_the_clock_was_set_back(sqlite_store: Store) -> None:
    keep(sqlite_store, result(90_000, GOOD), at=90_010)
    assert keep(sqlite_store, result(3600, GOOD), at=3610) == 1
    assert rows(sqlite_store)[0].slot == START + 3600


def test_a_sighting_that_began_in_the_future_is_extended_from_now(store: Store) -> None:
    """A clock that ran ahead stored the row. A later result sets its times back to the present.

    Otherwise its last time would stay in the future, and every round would probe the host.
    """
    keep(store, result(0, GOOD), at=10)
    keep(store, result(90_000, SILENT), at=90_010)
    keep(store, result(3600, SILENT), at=3610)
    (_, row) = rows(store)
    assert (row.first_at, row.last_at) == (START + 3610, START + 3610)
    with store.read() as connection:
        assert last_probes(connection, "local")[KEY].at <= START + 3610


def test_each_address_has_a_sighting_that_ends_when_the_address_is_removed(store: Store) -> None:
    one, other = (msgspec.structs.replace(GOOD, edge=f"192.0.2.{last}") for last in (7, 8))
    keep(store, result(0, one, other))
    keep(store, result(900, one))
    assert [(row.edge, row.latest) for row in rows(store)] == [
        ("192.0.2.7", True),
        ("192.0.2.8", False),
    ]


def test_locations_are_recorded_and_a_pause_resets_their_silence(store: Store) -> None:
    moment = datetime.fromtimestamp(START, UTC)
    for later in (0, 60, 10_000):
        with store.write() as connection:
            note_scheduled(connection, ["local"], moment + timedelta(seconds=later), max_gap=3600)
        with store.read() as connection:
            (row,) = connection.execute(select(VANTAGES))
        assert row.since == START + (later if later == 10_000 else 0)
        assert row.heard_at is None
    keep(store, result(0, GOOD))
    with store.read() as connection:
        (row,) = connection.execute(select(VANTAGES))
    assert row.heard_at == START + 10**6


def test_two_services_that_store_results_at_once_make_one_sighting(
    postgres_store: Store,
) -> None:
    """The second service must see the row of the first, or both would add one."""
    with ThreadPoolExecutor(1) as other:
        with postgres_store.write() as connection:
            record_results(connection, [result(0, GOOD)], datetime.fromtimestamp(START + 9, UTC))
            second = other.submit(keep, postgres_store, result(60, GOOD))
            with pytest.raises(TimeoutError):
                second.result(0.2)
        assert second.result(20) == 1
    assert [row.count for row in rows(postgres_store)] == [2]
