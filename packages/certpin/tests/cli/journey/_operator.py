"""An operator who runs exactly the commands that ``certpin rotate plan`` prints."""

from __future__ import annotations

import shlex
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Done, Run

_LONGEST_WAIT = 60.0  # seconds until a step is safe: T_adopt of the journey, and more
_MOST_STEPS = 20


@dataclass(frozen=True)
class Operator:
    """A simulated operator who rotates keys with certpin's commands.

    Attributes:
        run: runs a certpin command.
        looking: the ``--connect`` options for the local servers.
        push: signs the pin set and pushes it to where clients fetch it.
    """

    run: Run
    looking: tuple[str, ...]
    push: Callable[[], None]

    def follow(self, host: str, key: str, serve: Callable[[], None]) -> list[str]:
        """Rotate a host to a key: plan, take the first step, and repeat until no step is left.

        Args:
            host: the host.
            key: the file of the new key or certificate.
            serve: makes the server present the new certificate, for that step of the plan.

        Returns:
            The names of the steps, in their order.
        """
        done: list[str] = []
        aim = ("--host", host)
        for _ in range(_MOST_STEPS):
            planned = self.run("rotate", "plan", "--to", key, *aim, *self.looking, "--json")
            assert planned.code == 0, planned.out + planned.err
            (plan,) = planned.json["hosts"]
            if not plan["steps"]:
                return done
            self._take(plan["steps"][0], serve)
            done.append(plan["steps"][0]["act"])
        raise AssertionError(f"the plan does not end: {done}")

    def _take(self, step: dict[str, Any], serve: Callable[[], None]) -> None:
        if step["not_before"]:
            _wait_until(datetime.fromisoformat(step["not_before"]))
        if step["act"] == "serve":
            serve()
            return
        self.typed(step)
        if step["act"] == "publish":
            self.push()

    def typed(self, step: dict[str, Any]) -> Done:
        """Run the command that a plan prints for a step, unchanged. Fail unless it succeeds."""
        done = self.run(*shlex.split(step["command"])[1:])
        assert done.code == 0, done.out + done.err
        return done


def _wait_until(moment: datetime) -> None:
    left = (moment - datetime.now(UTC)).total_seconds()
    assert left < _LONGEST_WAIT
    time.sleep(max(0.0, left))
