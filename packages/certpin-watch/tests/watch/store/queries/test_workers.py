"""The last contact of workers, on pages, in the API and in metrics."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from certpin_watch.auth.tokens import make_token
from certpin_watch.metrics.families import worker_contacts
from certpin_watch.snapshot import Watched
from certpin_watch.store.probes import note_scheduled
from certpin_watch.store.queries.freshness import freshness, workers
from certpin_watch.store.tokens import record_token_use, revoke_token
from certpin_watch.web import unknowns

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from certpin_watch.store import Store

NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def made(connection: Connection, name: str, *scopes: str, used: datetime | None = None) -> str:
    """A token, and when it was used; its ID."""
    until = NOW + HOUR
    token, _ = make_token(connection, name, scopes, by="test", now=NOW - HOUR, until=until)
    if used:
        record_token_use(connection, token, used)
    return token


def test_the_valid_tokens_of_workers_are_shown_with_their_last_contact(store: Store) -> None:
    with store.write() as connection:
        heard = made(connection, "fra1-a", "worker:fra1", used=NOW)
        new = made(connection, "fra1-b", "worker:fra1")
        made(connection, "prometheus", "metrics", used=NOW)
        revoke_token(connection, made(connection, "gone", "worker:ams1", used=NOW), NOW)
    with store.read() as connection:
        found = [(each.name, each.token, each.vantage) for each in workers(connection, NOW)]
        fresh = freshness(connection, Watched([]).snapshot(), NOW)
        assert workers(connection, NOW + HOUR) == ()
    assert found == [("fra1-a", heard, "fra1"), ("fra1-b", new, "fra1")]
    (sample,) = worker_contacts(fresh).samples
    assert sample.labels == {"worker": "fra1-a", "token": heard, "vantage": "fra1"}
    assert sample.value == NOW.timestamp()


def test_a_silent_location_says_when_its_workers_were_heard(store: Store) -> None:
    with store.write() as connection:
        note_scheduled(connection, ("ams1", "fra1", "local"), NOW, 60)
        made(connection, "ams1-a", "worker:ams1")
        made(connection, "fra1-a", "worker:fra1", used=NOW - HOUR)
    with store.read() as connection:
        told = unknowns.of_service(freshness(connection, Watched([]).snapshot(), NOW), NOW)
    silent = [each for each in told if "is silent" in each]
    said = "is silent: it never sent a result."
    assert silent == [
        f"The location ams1 {said} None of its workers ever made contact.",
        f"The location fra1 {said} The last contact with one of its workers was an hour ago.",
        f"The location local {said}",
    ]
