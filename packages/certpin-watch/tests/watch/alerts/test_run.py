"""Check when the rules about a silent monitor are evaluated: not after a jump of the time."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from certpin_watch.alerts.run import Evaluator
from certpin_watch.monitor.evidence import LocationStatus, ProbeEvidence
from certpin_watch.monitor.scheduler import first_round
from certpin_watch.rules.engine import RULES
from certpin_watch.settings import MonitorSettings
from certpin_watch.store.alerts import open_alerts
from tests.watch.alerts.conftest import Stage
from tests.watch.rules import _probes as made

if TYPE_CHECKING:
    from certpin_watch.context import Watch
    from certpin_watch.store import Store

EVERY = 60
RULE = "monitor-silent"
SETTINGS = MonitorSettings()
PATIENCE = int(SETTINGS.silent_after * SETTINGS.interval.total_seconds())
FIRST = int(first_round(SETTINGS).total_seconds())


class _Monitor:
    """A monitor of one host that probes only when the test calls ``probe``."""

    def __init__(self, store: Store) -> None:
        self.stage = Stage(store, every=timedelta(seconds=EVERY))
        self.probe()
        self.stage.evaluator = Evaluator(self.stage.watch, self._gather, {RULE: RULES[RULE]})

    def probe(self) -> None:
        self.asked = self.stage.watch.clock()

    def _gather(self, _: Watch, now: datetime) -> ProbeEvidence:
        status = LocationStatus("local", now - timedelta(days=9), self.asked, self.asked)
        return replace(made.at(made.probes([made.view()]), now), locations=(status,))

    def evaluate(self, seconds: int, *, probes: bool = True) -> int | None:
        """Evaluate the rules for some seconds, every minute.

        Returns:
            The seconds until the alert ``monitor-silent`` was open; None if it never was.
        """
        for passed in range(0, seconds + 1, EVERY):
            self.stage.evaluator.run_once()
            with self.stage.watch.store.read() as connection:
                if open_alerts(connection):
                    return passed
            self.stage.now += EVERY
            if probes:
                self.probe()
        return None


@pytest.mark.medium
@pytest.mark.parametrize("jump", [86_400, -86_400])
def test_after_a_jump_of_the_time_the_monitor_is_silent_only_if_it_does_not_probe(
    sqlite_store: Store, jump: int
) -> None:
    """The rules may be evaluated before the monitor probes: both tasks wait for their next time."""
    monitor = _Monitor(sqlite_store)
    assert monitor.evaluate(FIRST + PATIENCE) is None
    monitor.stage.now += jump
    assert monitor.evaluate(EVERY) is None
    assert monitor.evaluate(FIRST) is None
    silent = monitor.evaluate(2 * PATIENCE, probes=False)
    assert silent is not None
    assert PATIENCE <= silent + EVERY <= PATIENCE + 3 * EVERY


@pytest.mark.medium
def test_after_a_jump_of_the_time_a_monitor_that_does_not_run_is_found(
    sqlite_store: Store,
) -> None:
    monitor = _Monitor(sqlite_store)
    assert monitor.evaluate(FIRST + PATIENCE) is None
    monitor.stage.now += 86_400
    silent = monitor.evaluate(FIRST + PATIENCE, probes=False)
    assert silent is not None
    assert FIRST <= silent <= FIRST + EVERY
