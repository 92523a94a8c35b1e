"""What a session asks of its play, where many plays go on at once: answered for one connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lab.play import Play
from certpin.lab.script import Script
from certpin.lab.session.application import Where

if TYPE_CHECKING:
    from certpin.lab.case import CannotServeError
    from certpin.lab.evidence import Connection
    from certpin.lab.serve.schedule import Schedule
    from certpin.lab.serve.turn import Visit
    from certpin.lab.session.application import Starting

_NOWHERE = Where("")


class Guest(Play):
    """Stands for the turn that is on when the connection reaches its host, and stays with it.

    From then on it shares everything with that turn's own play.
    """

    def __init__(self, schedule: Schedule, *, plain: bool = False) -> None:
        super().__init__(Script(()), _NOWHERE, ("", ""))
        self.plain = plain  # whether it is a request in clear text, to a proxy
        self.visit: Visit | None = None
        self._schedule = schedule

    def tests(self, host: str) -> bool:
        """Whether a host is under test."""
        return self._schedule.tests(host)

    def clear_application(self, seen: Connection) -> Starting | None:
        """Nothing is spoken before TLS. A session asks this first: its turn is taken now."""
        self.visit = self._schedule.admit(seen, plain=self.plain)
        vars(self).update(vars(self._play))
        return self._play.clear_application(seen)

    def opened(self, seen: Connection) -> None:
        """The turn keeps the evidence."""

    def failed(self, trouble: CannotServeError) -> None:
        """The lab could not serve an act."""
        self._play.failed(trouble)

    def step(self, *, hung_up: bool = False, ended: bool = False) -> None:
        """Bytes came, or the end."""
        if self.visit:
            self._schedule.heard(self.visit, hung_up=hung_up, ended=ended)

    @property
    def _play(self) -> Play:
        assert self.visit is not None  # noqa: S101  # a session begins with clear_application
        return self.visit.turn.play
