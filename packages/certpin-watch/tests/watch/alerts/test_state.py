"""Check which events an alert has over time: opened, repeated, silenced, resolved."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from certpin import HostPattern
from certpin_watch.alerts.silences import MaintenanceWindow, Silencing
from certpin_watch.rules.rule import AlertFinding
from certpin_watch.store.alerts import SilenceRow
from tests.watch.alerts._findings import HOST, NOW, SETTINGS, History, finding

HOLD = int(SETTINGS.hold.total_seconds())
REPEAT = int(SETTINGS.repeat.total_seconds())
PIN = "sha256/" + "A" * 43 + "="


def _silence(**more: object) -> Silencing:
    silence = SilenceRow("", HOST, NOW, NOW + 3600, "ann", "a test")
    return Silencing(silences=(replace(silence, **more),))  # type: ignore[arg-type]


def test_a_message_is_sent_once_and_repeated_after_a_while() -> None:
    history = History()
    assert history.evaluate(NOW, finding()) == ["opened!"]
    assert history.evaluate(NOW + 15, finding()) == []
    assert history.evaluate(NOW + REPEAT - 1, finding()) == []
    assert history.evaluate(NOW + REPEAT, finding(clients=7)) == ["repeated!"]
    assert history.evaluate(NOW + REPEAT + 15, finding()) == []


def test_information_is_not_repeated() -> None:
    history = History()
    assert history.evaluate(NOW, finding(severity="info")) == ["opened!"]
    assert history.evaluate(NOW + 10 * REPEAT, finding(severity="info")) == []


def test_a_rising_severity_is_sent_at_once_and_only_once() -> None:
    history = History()
    history.evaluate(NOW, finding(severity="warning"))
    assert history.evaluate(NOW + 15, finding()) == ["escalated!"]
    assert history.evaluate(NOW + 30, finding(severity="warning")) == []
    assert history.evaluate(NOW + 45, finding()) == []


def test_a_severity_that_fell_and_rises_again_after_a_message_is_sent_at_once() -> None:
    history = History()
    history.evaluate(NOW, finding())
    assert history.evaluate(NOW + REPEAT, finding(severity="warning")) == ["repeated!"]
    assert history.evaluate(NOW + REPEAT + 15, finding()) == ["escalated!"]


def test_an_alert_resolves_after_the_hold_time() -> None:
    history = History()
    history.evaluate(NOW, finding())
    assert history.evaluate(NOW + 15) == []
    assert history.evaluate(NOW + 15 + HOLD - 1) == []
    assert history.evaluate(NOW + 15 + HOLD) == ["resolved!"]
    assert history.evaluate(NOW + 30 + HOLD) == []


def test_a_flickering_problem_is_one_alert() -> None:
    history = History()
    events = [
        what for n in range(40) for what in history.evaluate(NOW + n * 60, *[finding()][: n % 2])
    ]
    assert events == ["opened!"]


def test_a_problem_that_came_back_is_held_for_longer() -> None:
    history = History()
    history.evaluate(NOW, finding())
    history.evaluate(NOW + 15)
    history.evaluate(NOW + 15 + HOLD)
    assert history.evaluate(NOW + 30 + HOLD, finding()) == ["opened!"]
    (alert,) = history.alerts.values()
    assert alert.flaps == 1
    assert alert.hold_seconds(SETTINGS.hold) == 2 * HOLD


def test_an_alert_of_a_skipped_rule_does_not_resolve() -> None:
    history = History()
    history.evaluate(NOW, finding())
    for n in range(1, 5):
        assert history.evaluate(NOW + n * HOLD, skipped=frozenset({"pin-mismatch"})) == []
    assert history.evaluate(NOW + 5 * HOLD) == []
    assert history.evaluate(NOW + 6 * HOLD) == ["resolved!"]


def test_an_alert_keeps_its_state_while_the_pins_of_its_host_are_unreadable() -> None:
    history, other = History(), HostPattern.parse("www.shop.example")
    silent = AlertFinding("monitor-silent", "critical", "", "", "the monitor does not run")
    disk = AlertFinding("disk-nearly-full", "warning", "", "", "the disk is nearly full")
    history.evaluate(NOW, finding(), silent, disk)
    unreadable: dict[str, Any] = {
        "readable": frozenset({("shop", other)}),
        "of_locations": frozenset({"monitor-silent"}),
    }
    events = [history.evaluate(NOW + n * HOLD, **unreadable) for n in range(1, 5)]
    assert events == [[], ["resolved!"], [], []]
    assert [alert.rule for alert in history.alerts.values() if alert.resolved_at] == [disk.rule]
    readable: dict[str, Any] = {
        "readable": frozenset({("bank-app", HostPattern.parse(f"**.{HOST}"))})
    }
    history.evaluate(NOW + 5 * HOLD, **readable)
    assert history.evaluate(NOW + 6 * HOLD, **readable) == ["resolved!", "resolved!"]


def test_a_silenced_alert_is_recorded_and_sent_when_the_silence_ends() -> None:
    history = History()
    assert history.evaluate(NOW, finding(), silencing=_silence()) == ["opened", "silenced"]
    assert history.evaluate(NOW + 3599, finding(), silencing=_silence()) == []
    assert history.evaluate(NOW + 3600, finding(), silencing=_silence()) == ["resumed!"]


def test_a_silenced_alert_resolves_without_a_message() -> None:
    history = History()
    history.evaluate(NOW, finding())
    silencing = _silence(until=NOW + 10 * HOLD)
    assert history.evaluate(NOW + 15, finding(), silencing=silencing) == ["silenced"]
    assert history.evaluate(NOW + 16, silencing=silencing) == []
    assert history.evaluate(NOW + 16 + HOLD, silencing=silencing) == ["resolved"]


def test_a_silence_longer_than_the_setting_has_no_effect() -> None:
    longest = int(SETTINGS.silence.total_seconds())
    too_long = _silence(until=NOW + longest + 1)
    assert History().evaluate(NOW, finding(), silencing=too_long) == ["opened!"]
    assert History().evaluate(NOW + 1, finding(), silencing=too_long) == ["opened", "silenced"]


def test_a_silence_of_neither_rule_nor_host_covers_nothing() -> None:
    assert History().evaluate(NOW, finding(), silencing=_silence(host="")) == ["opened!"]


def test_a_silence_covers_only_its_rule_and_host() -> None:
    silencing = _silence(rule="host-unreachable")
    assert History().evaluate(NOW, finding(), silencing=silencing) == ["opened!"]
    assert History().evaluate(NOW, finding("host-unreachable"), silencing=silencing) == [
        "opened",
        "silenced",
    ]
    assert History().evaluate(NOW, finding(host="b.example"), silencing=_silence()) == ["opened!"]


def test_a_rotation_explains_changes_to_its_pin_at_its_host_for_a_while() -> None:
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


def test_a_rotation_to_a_pinned_certificate_explains_changes_to_it() -> None:
    whole = f"cert-sha256/{bytes(32).hex(':')}"
    silencing = Silencing(
        windows=(MaintenanceWindow("bank-app", HOST, whole, NOW, NOW + 7200, ""),)
    )
    served = {"subject": "CN=a.example", "pin": PIN, "sha256": "00" * 32}
    for change in (
        finding("issuer-changed", "warning", after=[served]),
        finding("vantages-disagree", "info", keys={"a": [PIN]}, certificates={"a": [whole]}),
    ):
        assert History().evaluate(NOW, change, silencing=silencing) == ["opened", "maintenance"]
    for digest in ("11" * 32, "00", "?", None):
        change = finding("issuer-changed", "warning", after=[served | {"sha256": digest}])
        assert History().evaluate(NOW, change, silencing=silencing) == ["opened!"]


def test_a_rotation_explains_no_mismatch_and_no_refusal() -> None:
    silencing = Silencing(windows=(MaintenanceWindow("bank-app", HOST, PIN, NOW, NOW + 7200, ""),))
    for rule in ("pin-mismatch", "field-mismatch", "strange-chain", "old-app-fails"):
        assert History().evaluate(
            NOW, finding(rule, "warning", after=PIN), silencing=silencing
        ) == ["opened!"]
    refused = finding("vantages-disagree", "critical", keys={"a": [PIN], "b": ["x"]})
    assert History().evaluate(NOW, refused, silencing=silencing) == ["opened!"]
    fine = finding("vantages-disagree", "info", keys={"a": [PIN], "b": ["x"]})
    assert History().evaluate(NOW, fine, silencing=silencing) == ["opened", "maintenance"]


def test_a_clock_step_back_neither_repeats_nor_stops_messages() -> None:
    history = History()
    history.evaluate(NOW, finding())
    year = 365 * 86400
    assert history.evaluate(NOW - year, finding()) == []
    assert history.evaluate(NOW - year + REPEAT, finding()) == ["repeated!"]
    assert history.evaluate(NOW - year + REPEAT + 1) == []
    assert history.evaluate(NOW - year + REPEAT + 1 + HOLD) == ["resolved!"]


def test_an_unchanged_alert_is_not_written_at_each_evaluation() -> None:
    history = History()
    history.evaluate(NOW, finding())
    before = len(history.changes)
    history.evaluate(NOW + 15, finding())
    history.evaluate(NOW + 30, finding())
    assert len(history.changes) == before
    history.evaluate(NOW + 90, finding())
    assert len(history.changes) == before + 1


def test_an_acknowledged_alert_is_not_repeated_until_its_severity_rises() -> None:
    history = History()
    assert history.evaluate(NOW, finding(severity="warning")) == ["opened!"]
    (key, alert) = next(iter(history.alerts.items()))
    history.alerts[key] = replace(alert, acknowledged_at=NOW + 60, acknowledged_by="anna")
    assert history.alerts[key].state == "acknowledged"
    assert history.evaluate(NOW + 2 * REPEAT, finding(severity="warning")) == []
    assert history.evaluate(NOW + 2 * REPEAT + 60, finding()) == ["escalated!"]
    worse = history.alerts[key]
    assert (worse.state, worse.acknowledged_by) == ("open", "")


def test_an_acknowledged_alert_that_falls_and_rises_again_is_sent() -> None:
    history = History()
    assert history.evaluate(NOW, finding()) == ["opened!"]
    (key, alert) = next(iter(history.alerts.items()))
    history.alerts[key] = replace(alert, acknowledged_at=NOW + 60, acknowledged_by="anna")
    assert history.evaluate(NOW + 120, finding(severity="warning")) == []
    assert history.alerts[key].state == "acknowledged"
    assert history.evaluate(NOW + 2 * REPEAT, finding(severity="warning")) == []
    assert history.evaluate(NOW + 2 * REPEAT + 60, finding()) == ["escalated!"]
    assert history.alerts[key].state == "open"


def test_a_problem_that_is_gone_makes_its_alert_recovering() -> None:
    history = History()
    history.evaluate(NOW, finding())
    history.evaluate(NOW + 60)
    (alert,) = history.alerts.values()
    assert alert.state == "recovering"
    history.evaluate(NOW + 120, finding())
    assert next(iter(history.alerts.values())).state == "open"
