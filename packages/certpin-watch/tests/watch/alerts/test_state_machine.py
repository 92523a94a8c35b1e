"""Check properties that hold for every alert after any sequence of events, with Hypothesis."""

from __future__ import annotations

import pytest
from hypothesis import settings, strategies
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from certpin_watch.alerts.silences import MaintenanceWindow, Silencing
from certpin_watch.store.alerts import SilenceRow
from tests.watch.alerts._findings import NOW, SETTINGS, History, finding

HOSTS = ("a.example", "b.example")
RULES = ("pin-mismatch", "key-changed")
PIN = "sha256/x"
HOLD = int(SETTINGS.hold.total_seconds())
REPEAT = int(SETTINGS.repeat.total_seconds())


class Alerts(RuleBasedStateMachine):
    """A Hypothesis state machine for alerts.

    Its rules start and end problems, add silences and rotations, and move the clock. Its invariants
    check the alerts and messages after each rule.
    """

    def __init__(self) -> None:
        super().__init__()
        self.history = History()
        self.now = NOW
        self.there: dict[tuple[str, str], str] = {}
        self.silences: list[SilenceRow] = []
        self.windows: list[MaintenanceWindow] = []
        self.open: dict[str, bool] = {}  # whether a message was sent, by key
        self.sent: dict[str, list[tuple[int, str]]] = {}
        self.stepped = False

    @rule(
        what=strategies.sampled_from(RULES),
        host=strategies.sampled_from(HOSTS),
        severity=strategies.sampled_from(["critical", "warning", "info"]),
    )
    def begins(self, what: str, host: str, severity: str) -> None:
        self.there[what, host] = severity

    @precondition(lambda self: self.there)
    @rule(data=strategies.data())
    def ends(self, data: strategies.DataObject) -> None:
        del self.there[data.draw(strategies.sampled_from(sorted(self.there)))]

    @rule(host=strategies.sampled_from(HOSTS), seconds=strategies.integers(1, 2 * REPEAT))
    def silence(self, host: str, seconds: int) -> None:
        self.silences.append(SilenceRow("", host, self.now, self.now + seconds, "ann", "why"))

    @rule(host=strategies.sampled_from(HOSTS))
    def rotate(self, host: str) -> None:
        self.windows.append(
            MaintenanceWindow("bank-app", host, PIN, self.now, self.now + 7200, "activate")
        )

    @rule(seconds=strategies.sampled_from([1, 15, HOLD, REPEAT, 86400]))
    def passes(self, seconds: int) -> None:
        self.now += seconds

    @rule(seconds=strategies.sampled_from([1, HOLD, REPEAT, 400 * 86400]))
    def clock_steps_back(self, seconds: int) -> None:
        self.now -= seconds
        self.stepped = True

    @rule()
    def evaluate(self) -> None:
        silencing = Silencing(tuple(self.silences), tuple(self.windows))
        found = [
            finding(what, severity, host, after=PIN)  # type: ignore[arg-type]
            for (what, host), severity in self.there.items()
        ]
        before = len(self.history.changes)
        self.history.evaluate(self.now, *found, silencing=silencing)
        for change in self.history.changes[before:]:
            for transition in change.transitions:
                self._check(change.alert.key, transition.what, notified=transition.notify)
                if transition.notify:
                    self._check_quiet(change.alert.host)
        # A second evaluation at the same time has no events.
        assert self.history.evaluate(self.now, *found, silencing=silencing) == []

    def _check(self, key: str, what: str, *, notified: bool) -> None:
        if what == "opened":
            assert key not in self.open, "it was opened twice"
            self.open[key] = notified
        elif what == "resolved":
            assert key in self.open, "it resolved before it opened"
            assert not notified or self.open[key], "no message was sent about it"
            del self.open[key]
        else:
            assert key in self.open
            self.open[key] |= notified
        if notified and what == "repeated" and not self.stepped:
            last, _ = self.sent[key][-1]
            assert self.now - last >= REPEAT
        if notified:
            self.sent.setdefault(key, []).append((self.now, what))

    def _check_quiet(self, host: str) -> None:
        longest = SETTINGS.silence.total_seconds()
        assert not any(
            silence.host == host and 0 < silence.until - self.now <= longest
            for silence in self.silences
        ), "it was silenced"

    @invariant()
    def what_is_open_is_open_in_the_book(self) -> None:
        known = {key for key, alert in self.history.alerts.items() if alert.resolved_at is None}
        assert known == self.open.keys()


TestAlerts = pytest.mark.medium(Alerts.TestCase)
TestAlerts.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
