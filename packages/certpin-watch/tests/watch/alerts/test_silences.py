"""Check silences of alerts, their limits, and the maintenance windows during key rotations."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from certpin.errors import InputError
from certpin.rotation import AdoptionDelays, Event, History
from certpin_watch.alerts.silences import (
    add_silence,
    host_warning,
    maintenance_windows,
    unmatched_hosts,
)
from certpin_watch.snapshot import MonitoredPinSet, Snapshot
from certpin_watch.store.alerts import SilenceRow, end_silence, silences_in_force
from certpin_watch.store.queries import alerts as queries
from certpin_watch.store.queries import to_datetime
from tests import kit
from tests.watch.alerts._findings import HOST, NOW, SETTINGS

if TYPE_CHECKING:
    from certpin_watch.store import Store

PINS = MonitoredPinSet(Path("pins.toml"), kit.pin_set(kit.policy(HOST)), History())
SNAPSHOT = Snapshot(
    (
        MonitoredPinSet(
            Path("pins.toml"),
            kit.pin_set(kit.policy("api.bank.example"), kit.policy("*.cdn.example")),
            History(),
        ),
    )
)


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("api.bank.example", ""),
        ("*.cdn.example", ""),
        (
            "a.cdn.example",
            "alerts of the monitor name the pattern *.cdn.example: only alerts based on reports",
        ),
        ("api.bank.exmple", "no monitored pin file has api.bank.exmple: did you mean api."),
        ("nonsense..", "no monitored pin file has nonsense.."),
    ],
)
def test_a_host_that_may_never_match_has_a_warning(host: str, why: str) -> None:
    said = host_warning(host, SNAPSHOT)
    assert said.startswith(why) if why else not said
    assert host_warning(host, Snapshot()) == ""  # no patterns are known yet


def test_hosts_of_settings_that_match_nothing_are_reported_with_the_setting() -> None:
    named = [
        ("monitor.host a.cdn.example", "a.cdn.example"),
        ("monitor.host ape.bank.example", "ape.bank.example"),
        ("alerts.tell right", "api.bank.example"),
        ("alerts.tell right", "**.bank.example"),
        ("alerts.tell right", "b.cdn.example"),
        ("alerts.tell wrong", "api.bnk.example"),
    ]
    warnings = list(unmatched_hosts(named, SNAPSHOT))
    assert [warning.partition(": no")[0] for warning in warnings] == [
        "monitor.host ape.bank.example",
        "alerts.tell wrong",
    ]
    assert not list(unmatched_hosts(named, Snapshot()))


@pytest.mark.parametrize("step", ["activate", "publish"])
def test_a_step_of_the_journal_opens_a_window_for_its_host_and_pin(step: str) -> None:
    when = datetime.fromtimestamp(NOW, UTC)
    if step == "activate":
        event = Event(when, "ann", "activate", host=HOST, pin=kit.NOBODY)
    else:
        event = Event(when, "ann", "publish", version=1, pins=PINS.pins, timing=AdoptionDelays())
    sets = (replace(PINS, history=History((event,))),)
    open_now = maintenance_windows(sets, NOW, SETTINGS.maintenance)
    assert {(window.host, window.pin) for window in open_now} >= {(HOST, str(kit.NOBODY))}
    assert not maintenance_windows(sets, NOW - 1, SETTINGS.maintenance)
    assert not maintenance_windows(sets, NOW + 7200, SETTINGS.maintenance)


def _wanted(**more: Any) -> SilenceRow:
    values: dict[str, Any] = {
        "rule": "",
        "host": HOST,
        "since": NOW,
        "until": NOW + 60,
        "who": "ann",
        "why": "x",
    }
    return SilenceRow(**values | more)


def test_a_silence_in_force_is_shown_as_such_after_a_clock_step(store: Store) -> None:
    with store.write() as connection:
        add_silence(connection, _wanted(since=NOW + 3600, until=NOW + 7200), SETTINGS)
        assert silences_in_force(connection, NOW, SETTINGS.silence)
        (shown,) = queries.silences(
            connection, to_datetime(NOW), SETTINGS.silence, active=True
        ).items
    assert shown.active


def test_a_silence_past_the_limit_is_shown_without_effect(store: Store) -> None:
    longest = int(SETTINGS.silence.total_seconds())
    wanted = _wanted(until=NOW + longest)
    with store.write() as connection:
        add_silence(connection, wanted, SETTINGS)
        for now in (NOW - 1, NOW, NOW + longest - 1, NOW + longest):
            found = wanted.is_in_force(now, SETTINGS.silence)
            (shown,) = queries.silences(connection, to_datetime(now), SETTINGS.silence).items
            active = queries.silences(
                connection, to_datetime(now), SETTINGS.silence, active=True
            ).items
            kept = silences_in_force(connection, now, SETTINGS.silence)
            assert (shown.active, bool(active), bool(kept)) == (found,) * 3
            assert found == (NOW <= now < NOW + longest)


def test_a_silence_is_in_force_until_it_ends(store: Store) -> None:
    with store.write() as connection:
        made = add_silence(connection, _wanted(), SETTINGS)
        assert made.id is not None
        assert silences_in_force(connection, NOW, SETTINGS.silence) == (made,)
        assert silences_in_force(connection, NOW + 60, SETTINGS.silence) == ()
        assert end_silence(connection, made.id, NOW + 1)
        assert not end_silence(connection, made.id, NOW + 1)
        assert silences_in_force(connection, NOW + 1, SETTINGS.silence) == ()
        (listed,) = queries.silences(connection, to_datetime(NOW), SETTINGS.silence).items
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
def test_an_invalid_silence_is_refused(sqlite_store: Store, more: dict[str, Any]) -> None:
    with sqlite_store.write() as connection, pytest.raises(InputError):
        add_silence(connection, _wanted(**more), SETTINGS)


def test_a_silence_of_an_unknown_rule_is_refused(sqlite_store: Store) -> None:
    with sqlite_store.write() as connection:
        assert (
            add_silence(connection, _wanted(rule="pin-mismatch"), SETTINGS).rule == "pin-mismatch"
        )
        with pytest.raises(InputError, match="no rule pin-mismach") as refused:
            add_silence(connection, _wanted(rule="pin-mismach"), SETTINGS)
    assert refused.value.fix.startswith("did you mean pin-mismatch? There are certificate-expire")


def test_a_shorter_limit_applies(sqlite_store: Store) -> None:
    with sqlite_store.write() as connection, pytest.raises(InputError, match="too long"):
        add_silence(connection, _wanted(), SETTINGS, at_most=timedelta(seconds=30))
