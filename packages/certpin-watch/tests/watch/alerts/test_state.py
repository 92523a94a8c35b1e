"""What becomes of an alert."""

from __future__ import annotations

from dataclasses import replace

from certpin_watch.alerts.quiet import Quiet, Silence, Window
from certpin_watch.alerts.state import hold
from tests.watch.alerts._seen import HOST, NOW, SETTINGS, Book, finding

HOLD = int(SETTINGS.hold.total_seconds())
REPEAT = int(SETTINGS.repeat.total_seconds())
PIN = "sha256/" + "A" * 43 + "="


def _silence(**more: object) -> Quiet:
    silence = Silence("", HOST, NOW, NOW + 3600, "ann", "a test")
    return Quiet(silences=(replace(silence, **more),))  # type: ignore[arg-type]


def test_a_trouble_is_told_once_and_told_again_after_a_while() -> None:
    book = Book()
    assert book.look(NOW, finding()) == ["opened!"]
    assert book.look(NOW + 15, finding()) == []
    assert book.look(NOW + REPEAT - 1, finding()) == []
    assert book.look(NOW + REPEAT, finding(clients=7)) == ["repeated!"]
    assert book.look(NOW + REPEAT + 15, finding()) == []


def test_what_is_only_information_is_told_once() -> None:
    book = Book()
    assert book.look(NOW, finding(severity="info")) == ["opened!"]
    assert book.look(NOW + 10 * REPEAT, finding(severity="info")) == []


def test_what_gets_worse_is_told_at_once_and_not_again_when_it_wavers() -> None:
    book = Book()
    book.look(NOW, finding(severity="warning"))
    assert book.look(NOW + 15, finding()) == ["escalated!"]
    assert book.look(NOW + 30, finding(severity="warning")) == []
    assert book.look(NOW + 45, finding()) == []


def test_it_is_over_when_it_was_gone_for_the_hold_time() -> None:
    book = Book()
    book.look(NOW, finding())
    assert book.look(NOW + 15) == []
    assert book.look(NOW + 15 + HOLD - 1) == []
    assert book.look(NOW + 15 + HOLD) == ["resolved!"]
    assert book.look(NOW + 30 + HOLD) == []


def test_what_comes_and_goes_is_one_alert() -> None:
    book = Book()
    told = [what for n in range(40) for what in book.look(NOW + n * 60, *[finding()][: n % 2])]
    assert told == ["opened!"]


def test_what_comes_back_soon_has_to_be_gone_for_longer() -> None:
    book = Book()
    book.look(NOW, finding())
    book.look(NOW + 15)
    book.look(NOW + 15 + HOLD)
    assert book.look(NOW + 30 + HOLD, finding()) == ["opened!"]
    (alert,) = book.alerts.values()
    assert alert.flaps == 1
    assert hold(alert, SETTINGS) == 2 * HOLD


def test_what_could_not_be_looked_at_is_not_over() -> None:
    book = Book()
    book.look(NOW, finding())
    for n in range(1, 5):
        assert book.look(NOW + n * HOLD, blind=frozenset({"pin-mismatch"})) == []
    assert book.look(NOW + 5 * HOLD) == []
    assert book.look(NOW + 6 * HOLD) == ["resolved!"]


def test_what_is_silenced_is_recorded_and_told_when_the_silence_is_over() -> None:
    book = Book()
    assert book.look(NOW, finding(), quiet=_silence()) == ["opened", "silenced"]
    assert book.look(NOW + 3599, finding(), quiet=_silence()) == []
    assert book.look(NOW + 3600, finding(), quiet=_silence()) == ["resumed!"]


def test_what_is_silenced_while_it_is_there_is_over_in_silence() -> None:
    book = Book()
    book.look(NOW, finding())
    quiet = _silence(until=NOW + 10 * HOLD)
    assert book.look(NOW + 15, finding(), quiet=quiet) == ["silenced"]
    assert book.look(NOW + 16, quiet=quiet) == []
    assert book.look(NOW + 16 + HOLD, quiet=quiet) == ["resolved"]


def test_nobody_silences_for_longer_than_the_settings_allow() -> None:
    longest = int(SETTINGS.silence.total_seconds())
    too_long = _silence(until=NOW + longest + 1)
    assert Book().look(NOW, finding(), quiet=too_long) == ["opened!"]
    assert Book().look(NOW + 1, finding(), quiet=too_long) == ["opened", "silenced"]


def test_a_silence_of_neither_rule_nor_host_covers_nothing() -> None:
    assert Book().look(NOW, finding(), quiet=_silence(host="")) == ["opened!"]


def test_a_silence_covers_its_rule_and_its_host_alone() -> None:
    quiet = _silence(rule="host-unreachable")
    assert Book().look(NOW, finding(), quiet=quiet) == ["opened!"]
    assert Book().look(NOW, finding("host-unreachable"), quiet=quiet) == ["opened", "silenced"]
    assert Book().look(NOW, finding(host="b.example"), quiet=_silence()) == ["opened!"]


def test_a_rotation_explains_a_change_to_its_pin_at_its_host_for_a_while() -> None:
    window = Window("bank-app", HOST, PIN, NOW, NOW + 7200, "activate by ann")
    change = finding("key-changed", "warning", after=PIN)
    quiet = Quiet(windows=(window,))
    assert Book().look(NOW, change, quiet=quiet) == ["opened", "maintenance"]
    assert Book().look(NOW + 7200, change, quiet=quiet) == ["opened!"]
    other = Quiet(windows=(replace(window, host="b.example"),))
    assert Book().look(NOW, change, quiet=other) == ["opened!"]
    elsewhere = Quiet(windows=(replace(window, pin_set="other"),))
    assert Book().look(NOW, change, quiet=elsewhere) == ["opened!"]
    stranger = finding("key-changed", "warning", after=PIN.replace("A", "B"))
    assert Book().look(NOW, stranger, quiet=quiet) == ["opened!"]


def test_a_rotation_explains_no_mismatch_and_nothing_that_clients_refuse() -> None:
    quiet = Quiet(windows=(Window("bank-app", HOST, PIN, NOW, NOW + 7200, ""),))
    for rule in ("pin-mismatch", "field-mismatch", "strange-chain", "old-app-fails"):
        assert Book().look(NOW, finding(rule, "warning", after=PIN), quiet=quiet) == ["opened!"]
    refused = finding("vantages-disagree", "critical", keys={"a": [PIN], "b": ["x"]})
    assert Book().look(NOW, refused, quiet=quiet) == ["opened!"]
    fine = finding("vantages-disagree", "info", keys={"a": [PIN], "b": ["x"]})
    assert Book().look(NOW, fine, quiet=quiet) == ["opened", "maintenance"]


def test_a_clock_that_steps_back_neither_tells_twice_nor_stops_telling() -> None:
    book = Book()
    book.look(NOW, finding())
    year = 365 * 86400
    assert book.look(NOW - year, finding()) == []
    assert book.look(NOW - year + REPEAT, finding()) == ["repeated!"]
    assert book.look(NOW - year + REPEAT + 1) == []
    assert book.look(NOW - year + REPEAT + 1 + HOLD) == ["resolved!"]


def test_that_it_is_still_there_is_not_written_at_each_look() -> None:
    book = Book()
    book.look(NOW, finding())
    before = len(book.changes)
    book.look(NOW + 15, finding())
    book.look(NOW + 30, finding())
    assert len(book.changes) == before
    book.look(NOW + 90, finding())
    assert len(book.changes) == before + 1


def test_two_findings_of_one_trouble_are_one_alert_as_bad_as_the_worse() -> None:
    book = Book()
    assert book.look(NOW, finding(severity="warning"), finding()) == ["opened!"]
    (alert,) = book.alerts.values()
    assert alert.severity == "critical"


def test_an_acknowledged_alert_is_not_repeated_until_it_gets_worse() -> None:
    book = Book()
    assert book.look(NOW, finding(severity="warning")) == ["opened!"]
    (key, alert) = next(iter(book.alerts.items()))
    book.alerts[key] = replace(alert, acknowledged_at=NOW + 60, acknowledged_by="anna")
    assert book.alerts[key].state == "acknowledged"
    assert book.look(NOW + 2 * REPEAT, finding(severity="warning")) == []
    assert book.look(NOW + 2 * REPEAT + 60, finding()) == ["escalated!"]
    worse = book.alerts[key]
    assert (worse.state, worse.acknowledged_by) == ("open", "")


def test_a_problem_that_is_gone_makes_its_alert_recovering() -> None:
    book = Book()
    book.look(NOW, finding())
    book.look(NOW + 60)
    (alert,) = book.alerts.values()
    assert alert.state == "recovering"
    book.look(NOW + 120, finding())
    assert next(iter(book.alerts.values())).state == "open"
