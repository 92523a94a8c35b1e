"""The table ``[alerts]``, and who may be silenced for how long."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from certpin.errors import ConfigError, InputError
from certpin.pinfile.fields import Table
from certpin_watch.alerts.quiet import Silence, holds
from certpin_watch.alerts.settings import KNOWN, Settings, read
from certpin_watch.alerts.silences import end_silence, silence, silences_in_force
from certpin_watch.store.queries import alerts as facts
from certpin_watch.store.queries.base import to_datetime
from tests.watch.alerts._seen import HOST, NOW, SETTINGS

if TYPE_CHECKING:
    from certpin_watch.store import Store


def _read(**data: Any) -> Settings:
    return read(Table(data, "alerts"))


def test_everything_has_a_default_and_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_URL", "slack://secret")
    assert _read() == Settings()
    found = _read(every="1m", digest=3, tell=[{"url": "env:SLACK_URL", "severity": "critical"}])
    assert (found.every, found.digest) == (timedelta(minutes=1), 3)
    assert found.tell[0].name == "service-1"
    assert found.tell[0].url.reveal() == "slack://secret"
    assert "secret" not in repr(found)
    assert set(KNOWN) == set(Settings.__dataclass_fields__)


@pytest.mark.parametrize(
    ("data", "key"),
    [
        ({"every": "0s"}, "alerts.every"),
        ({"every": "soon"}, "alerts.every"),
        ({"deadline": "1h"}, "alerts.deadline"),
        ({"digest": 0}, "alerts.digest"),
        ({"tell": [{"url": "json://x", "severty": "info"}]}, "alerts.tell[0].severty"),
        ({"tell": [{"url": "json://x", "severity": "bad"}]}, "alerts.tell[0].severity"),
        ({"tell": [{"url": "json://x", "name": "a\n"}]}, "alerts.tell[0].name"),
        ({"tell": [{"url": "json://x", "name": "a"}] * 2}, "alerts.tell"),
        ({"tell": [{}]}, "alerts.tell[0].url"),
        ({"tell": [{"url": 5}]}, "alerts.tell[0].url"),
        ({"tell": [{"url": "json://x", "rules": ["pin-mismach"]}]}, "alerts.tell[0].rules"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(data: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError) as refused:
        _read(**data)
    assert refused.value.key == key


def _wanted(**more: Any) -> Silence:
    values: dict[str, Any] = {
        "rule": "",
        "host": HOST,
        "since": NOW,
        "until": NOW + 60,
        "who": "ann",
        "why": "x",
    }
    return Silence(**values | more)


def test_a_silence_that_is_in_force_is_shown_as_that_whatever_the_clock_did(store: Store) -> None:
    with store.write() as connection:
        silence(connection, _wanted(since=NOW + 3600, until=NOW + 7200), SETTINGS)
        assert silences_in_force(connection, NOW, SETTINGS)
        (shown,) = facts.silences(connection, to_datetime(NOW), SETTINGS, active=True).items
    assert shown.active


def test_one_that_was_written_past_the_setting_is_shown_as_what_it_is(store: Store) -> None:
    longest = int(SETTINGS.silence.total_seconds())
    wanted = _wanted(until=NOW + longest)
    with store.write() as connection:
        silence(connection, wanted, SETTINGS)
        for now in (NOW - 1, NOW, NOW + longest - 1, NOW + longest):
            found = holds(wanted, now, SETTINGS)
            (shown,) = facts.silences(connection, to_datetime(now), SETTINGS).items
            active = facts.silences(connection, to_datetime(now), SETTINGS, active=True).items
            kept = silences_in_force(connection, now, SETTINGS)
            assert (shown.active, bool(active), bool(kept)) == (found,) * 3
            assert found == (NOW <= now < NOW + longest)


def test_a_silence_is_in_force_until_it_ends(store: Store) -> None:
    with store.write() as connection:
        made = silence(connection, _wanted(), SETTINGS)
        assert made.id is not None
        assert silences_in_force(connection, NOW, SETTINGS) == (made,)
        assert silences_in_force(connection, NOW + 60, SETTINGS) == ()
        assert end_silence(connection, made.id, NOW + 1)
        assert not end_silence(connection, made.id, NOW + 1)
        assert silences_in_force(connection, NOW + 1, SETTINGS) == ()
        (listed,) = facts.silences(connection, to_datetime(NOW), SETTINGS).items
        assert listed.ended_at == to_datetime(NOW + 1)


@pytest.mark.parametrize(
    "more",
    [
        {"until": NOW + 7 * 86400 + 1},
        {"until": NOW},
        {"host": ""},
        {"who": " "},
        {"why": ""},
        {"why": "a\nb"},
        {"why": "x" * 501},
    ],
)
def test_a_silence_that_nobody_answers_for_is_refused(
    sqlite_store: Store, more: dict[str, Any]
) -> None:
    with sqlite_store.write() as connection, pytest.raises(InputError):
        silence(connection, _wanted(**more), SETTINGS)


def test_a_silence_is_of_something_that_there_is(sqlite_store: Store) -> None:
    with sqlite_store.write() as connection:
        assert silence(connection, _wanted(rule="pin-mismatch"), SETTINGS).rule == "pin-mismatch"
        with pytest.raises(InputError, match="no rule pin-mismach") as refused:
            silence(connection, _wanted(rule="pin-mismach"), SETTINGS)
    assert refused.value.fix.startswith("did you mean pin-mismatch? There are certificate-expire")


def test_whoever_sets_a_shorter_limit_gets_it(sqlite_store: Store) -> None:
    with sqlite_store.write() as connection, pytest.raises(InputError, match="so long"):
        silence(connection, _wanted(), SETTINGS, at_most=timedelta(seconds=30))
