"""The case run of one connection from a device: that of its host's current turn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lab.case_run import CaseRun
from certpin.lab.scenario import Scenario
from certpin.lab.session.application import Where

if TYPE_CHECKING:
    from certpin.lab.case import CannotServeError
    from certpin.lab.device.schedule import Schedule
    from certpin.lab.device.turn import Visit
    from certpin.lab.evidence import Connection
    from certpin.lab.session.application import Starting

_NOWHERE = Where("")


class DeviceSession(CaseRun):
    """Stands for the turn that is on when the connection reaches its host, and stays with it.

    From then on it shares everything with that turn's own case_run.
    """

    def __init__(self, schedule: Schedule, *, plain: bool = False) -> None:
        super().__init__(Scenario(()), _NOWHERE, ("", ""))
        self.plain = plain  # whether it is a request in clear text, to a proxy
        self.visit: Visit | None = None
        self._schedule = schedule

    def tests(self, host: str) -> bool:
        """Whether a host is under test."""
        return self._schedule.tests(host)

    def clear_application(self, seen: Connection) -> Starting | None:
        """Nothing is spoken before TLS. A session asks this first: its turn is taken now."""
        self.visit = self._schedule.admit(seen, plain=self.plain)
        vars(self).update(vars(self._case_run))
        return self._case_run.clear_application(seen)

    def opened(self, seen: Connection) -> None:
        """The turn keeps the evidence."""

    def failed(self, error: CannotServeError) -> None:
        """The lab could not serve a step."""
        self._case_run.failed(error)

    def step(self, *, hung_up: bool = False, ended: bool = False) -> None:
        """Bytes came, or the end."""
        if self.visit:
            self._schedule.heard(self.visit, hung_up=hung_up, ended=ended)

    @property
    def _case_run(self) -> CaseRun:
        assert self.visit is not None  # noqa: S101  # a session begins with clear_application
        return self.visit.turn.case_run
