"""What becomes of an alert."""

from __future__ import annotations

from dataclasses import replace

from certpin_watch.alerts.silences import MaintenanceWindow, Silencing
from certpin_watch.store.alerts import SilenceRow
from tests.watch.alerts._findings import HOST, NOW, SETTINGS, History, finding

HOLD = int(SETTINGS.hold.total_seconds())
REPEAT = int(SETTINGS.repeat.total_seconds())
PIN = "sha256/" + "A" * 43 + "="


def _silence(**more: object) -> Silencing:
    silence = SilenceRow("", HOST, NOW, NOW + 3600, "ann", "a test")
    return Silencing(silences=(replace(silence, **more),))  # type: ignore[arg-type]


def test_a_trouble_is_told_once_and_told_again_after_a_while() -> None:
    history = History()
    assert history.evaluate(NOW, finding()) == ["opened!"]
    assert history.evaluate(NOW + 15, finding()) == []
    assert history.evaluate(NOW + REPEAT - 1, finding()) == []
    assert history.evaluate(NOW + REPEAT, finding(clients=7)) == ["repeated!"]
    assert history.evaluate(NOW + REPEAT + 15, finding()) == []


def test_what_is_only_information_is_told_once() -> None:
    history = History()
    assert history.evaluate(NOW, finding(severity="info")) == ["opened!"]
    assert history.evaluate(NOW + 10 * REPEAT, finding(severity="info")) == []


def test_what_gets_worse_is_told_at_once_and_not_again_when_it_wavers() -> None:
    history = History()
    history.evaluate(NOW, finding(severity="warning"))
    assert history.evaluate(NOW + 15, finding()) == ["escalated!"]
    assert history.evaluate(NOW + 30, finding(severity="warning")) == []
    assert history.evaluate(NOW + 45, finding()) == []


def test_it_is_over_when_it_was_gone_for_the_hold_time() -> None:
    history = History()
    history.evaluate(NOW, finding())
    assert history.evaluate(NOW + 15) == []
    assert history.evaluate(NOW + 15 + HOLD - 1) == []
    assert history.evaluate(NOW + 15 + HOLD) == ["resolved!"]
    assert history.evaluate(NOW + 30 + HOLD) == []


def test_what_comes_and_goes_is_one_alert() -> None:
    history = History()
    told = [
        what for n in range(40) for what in history.evaluate(NOW + n * 60, *[finding()][: n % 2])
    ]
    assert told == ["opened!"]


def test_what_comes_back_soon_has_to_be_gone_for_longer() -> None:
    history = History()
    history.evaluate(NOW, finding())
    history.evaluate(NOW + 15)
    history.evaluate(NOW + 15 + HOLD)
    assert history.evaluate(NOW + 30 + HOLD, finding()) == ["opened!"]
    (alert,) = history.alerts.values()
    assert alert.flaps == 1
    assert alert.hold_seconds(SETTINGS.hold) == 2 * HOLD


def test_what_could_not_be_looked_at_is_not_over() -> None:
    history = History()
    history.evaluate(NOW, finding())
    for n in range(1, 5):
        assert history.evaluate(NOW + n * HOLD, skipped=frozenset({"pin-mismatch"})) == []
    assert history.evaluate(NOW + 5 * HOLD) == []
    assert history.evaluate(NOW + 6 * HOLD) == ["resolved!"]


def test_what_is_silenced_is_recorded_and_told_when_the_silence_is_over() -> None:
    history = History()
    assert history.evaluate(NOW, finding(), silencing=_silence()) == ["opened", "silenced"]
    assert history.evaluate(NOW + 3599, finding(), silencing=_silence()) == []
    assert history.evaluate(NOW + 3600, finding(), silencing=_silence()) == ["resumed!"]


def test_what_is_silenced_while_it_is_there_is_over_in_silence() -> None:
    history = History()
    history.evaluate(NOW, finding())
    silencing = _silence(until=NOW + 10 * HOLD)
    assert history.evaluate(NOW + 15, finding(), silencing=silencing) == ["silenced"]
    assert history.evaluate(NOW + 16, silencing=silencing) == []
    assert history.evaluate(NOW + 16 + HOLD, silencing=silencing) == ["resolved"]


def test_nobody_silences_for_longer_than_the_settings_allow() -> None:
    longest = int(SETTINGS.silence.total_seconds())
    too_long = _silence(until=NOW + longest + 1)
    assert History().evaluate(NOW, finding(), silencing=too_long) == ["opened!"]
    assert History().evaluate(NOW + 1, finding(), silencing=too_long) == ["opened", "silenced"]


def test_a_silence_of_neither_rule_nor_host_covers_nothing() -> None:
    assert History().evaluate(NOW, finding(), silencing=_silence(host="")) == ["opened!"]


def test_a_silence_covers_its_rule_and_its_host_alone() -> None:
    silencing = _silence(rule="host-unreachable")
    assert History().evaluate(NOW, finding(), silencing=silencing) == ["opened!"]
    assert History().evaluate(NOW, finding("host-unreachable"), silencing=silencing) == [
        "opened",
        "silenced",
    ]
    assert History().evaluate(NOW, finding(host="b.example"), silencing=_silence()) == ["opened!"]


def test_a_rotation_explains_a_change_to_its_pin_at_its_host_for_a_while() -> None:
    window = MaintenanceWindow("bank-app", HOST, PIN, NOW, NOW + 7200, "activate by ann")
    change = finding("key-changed", "warning", after=PIN)
    silencing = Silencing(windows=(window,))
    assert History().evaluate(NOW, change, silencing=silencing) == ["opened", "maintenance"]
    assert History().evaluate(NOW + 7200, change, silencing=silencing) == ["opened!"]
    other = Silencing(windows=(replace(window, host="b.example"),))
    assert History().evaluate(NOW, change, silencing=other) == ["opened!"]
    elsewhere = Silencing(windows=(replace(window, pin_set="other"),))
    assert History().evaluate(NOW, change, silencing=elsewhere) == ["opened!"]
    stranger = finding("key-changed", "warning", after=PIN.replace("A", "B"))
    assert History().evaluate(NOW, stranger, silencing=silencing) == ["opened!"]


def test_a_rotation_explains_no_mismatch_and_nothing_that_clients_refuse() -> None:
    silencing = Silencing(windows=(MaintenanceWindow("bank-app", HOST, PIN, NOW, NOW + 7200, ""),))
    for rule in ("pin-mismatch", "field-mismatch", "strange-chain", "old-app-fails"):
        assert History().evaluate(
            NOW, finding(rule, "warning", after=PIN), silencing=silencing
        ) == ["opened!"]
    refused = finding("vantages-disagree", "critical", keys={"a": [PIN], "b": ["x"]})
    assert History().evaluate(NOW, refused, silencing=silencing) == ["opened!"]
    fine = finding("vantages-disagree", "info", keys={"a": [PIN], "b": ["x"]})
    assert History().evaluate(NOW, fine, silencing=silencing) == ["opened", "maintenance"]


def test_a_clock_that_steps_back_neither_tells_twice_nor_stops_telling() -> None:
    history = History()
    history.evaluate(NOW, finding())
    year = 365 * 86400
    assert history.evaluate(NOW - year, finding()) == []
    assert history.evaluate(NOW - year + REPEAT, finding()) == ["repeated!"]
    assert history.evaluate(NOW - year + REPEAT + 1) == []
    assert history.evaluate(NOW - year + REPEAT + 1 + HOLD) == ["resolved!"]


def test_that_it_is_still_there_is_not_written_at_each_look() -> None:
    history = History()
    history.evaluate(NOW, finding())
    before = len(history.changes)
    history.evaluate(NOW + 15, finding())
    history.evaluate(NOW + 30, finding())
    assert len(history.changes) == before
    history.evaluate(NOW + 90, finding())
    assert len(history.changes) == before + 1


def test_an_acknowledged_alert_is_not_repeated_until_it_gets_worse() -> None:
    history = History()
    assert history.evaluate(NOW, finding(severity="warning")) == ["opened!"]
    (key, alert) = next(iter(history.alerts.items()))
    history.alerts[key] = replace(alert, acknowledged_at=NOW + 60, acknowledged_by="anna")
    assert history.alerts[key].state == "acknowledged"
    assert history.evaluate(NOW + 2 * REPEAT, finding(severity="warning")) == []
    assert history.evaluate(NOW + 2 * REPEAT + 60, finding()) == ["escalated!"]
    worse = history.alerts[key]
    assert (worse.state, worse.acknowledged_by) == ("open", "")


def test_a_problem_that_is_gone_makes_its_alert_recovering() -> None:
    history = History()
    history.evaluate(NOW, finding())
    history.evaluate(NOW + 60)
    (alert,) = history.alerts.values()
    assert alert.state == "recovering"
    history.evaluate(NOW + 120, finding())
    assert next(iter(history.alerts.values())).state == "open"
