"""Check the last contact of remote workers, as pages, API and metrics show it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from certpin_watch.auth.credentials import make_token
from certpin_watch.metrics.families import worker_contacts
from certpin_watch.snapshot import PinFiles
from certpin_watch.store import leases
from certpin_watch.store.accounts import record_token_use, revoke_token
from certpin_watch.store.probes import note_scheduled
from certpin_watch.store.queries.freshness import freshness, workers
from certpin_watch.store.schema import check_tables
from certpin_watch.web import unknowns

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from certpin_watch.store import Store

NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def create_token(
    connection: Connection, name: str, *scopes: str, used: datetime | None = None
) -> str:
    """Create an API token with these scopes, last used at ``used`` (None: never). Return its ID."""
    until = NOW + HOUR
    token, _ = make_token(connection, name, scopes, by="test", now=NOW - HOUR, until=until)
    if used:
        record_token_use(connection, token, used)
    return token


def test_valid_tokens_of_workers_are_listed_with_their_last_contact(store: Store) -> None:
    with store.write() as connection:
        heard = create_token(connection, "fra1-a", "worker:fra1", used=NOW)
        new = create_token(connection, "fra1-b", "worker:fra1")
        create_token(connection, "prometheus", "metrics", used=NOW)
        revoke_token(connection, create_token(connection, "gone", "worker:ams1", used=NOW), NOW)
    with store.read() as connection:
        found = [(worker.name, worker.token, worker.vantage) for worker in workers(connection, NOW)]
        fresh = freshness(connection, PinFiles([]).snapshot(), NOW)
        assert workers(connection, NOW + HOUR) == ()
    assert found == [("fra1-a", heard, "fra1"), ("fra1-b", new, "fra1")]
    (sample,) = worker_contacts(fresh).samples
    assert sample.labels == {"worker": "fra1-a", "token": heard, "vantage": "fra1"}
    assert sample.value == NOW.timestamp()


def test_the_trial_of_the_store_is_no_task(sqlite_store: Store) -> None:
    with sqlite_store.write() as connection:
        leases.take(connection, "monitor", "one", int(NOW.timestamp()), 60)
    check_tables(sqlite_store, int(NOW.timestamp()))
    with sqlite_store.read() as connection:
        fresh = freshness(connection, PinFiles([]).snapshot(), NOW)
    assert [lease.name for lease in fresh.leases] == ["monitor"]


def test_a_silent_location_names_the_last_contact_of_its_workers(store: Store) -> None:
    with store.write() as connection:
        note_scheduled(connection, ("ams1", "fra1", "local"), NOW, 60)
        create_token(connection, "ams1-a", "worker:ams1")
        create_token(connection, "fra1-a", "worker:fra1", used=NOW - HOUR)
    with store.read() as connection:
        sentences = unknowns.of_service(freshness(connection, PinFiles([]).snapshot(), NOW), NOW)
    silent = [sentence for sentence in sentences if "is silent" in sentence]
    said = "is silent: it never sent a result."
    assert silent == [
        f"The location ams1 {said} None of its workers ever made contact.",
        f"The location fra1 {said} The last contact with one of its workers was an hour ago.",
        f"The location local {said}",
    ]
