"""Many client processes in parallel: start them, read their logs of requests, and stop them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.cli.journey import _client

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from tests.cli.journey._client import Settings

    Done = Callable[[list[dict[str, Any]]], bool]

_DEADLINE = 60.0  # seconds to wait for a client
_POLL = 0.1


@dataclass
class Fleet:
    """The running clients of the end-to-end test, and the logs of their requests.

    Attributes:
        logs: the log file of each client, by its number.
        stop: if this file exists, the clients end.
        mark: a time in seconds since the epoch. Earlier requests are ignored.
    """

    logs: dict[int, Path]
    stop: Path
    mark: float = field(default_factory=time.time)

    def begin(self, mark: float | None = None) -> None:
        """Ignore requests before ``mark`` from now on, or before the present time."""
        self.mark = time.time() if mark is None else mark

    def calls(self) -> dict[int, list[dict[str, Any]]]:
        """Return the logged requests of each client since ``mark``, by the client's number."""
        return {
            number: [call for call in _lines(log) if call["time"] >= self.mark]
            for number, log in self.logs.items()
        }

    def refused(self) -> dict[int, Counter[str]]:
        """Return the clients with failed requests since ``mark``, and the count of each error."""
        found = {
            number: Counter(call["error"] for call in calls if call["error"])
            for number, calls in self.calls().items()
        }
        return {number: errors for number, errors in found.items() if errors}

    def wait_for_calls(self) -> None:
        """Wait until each client has sent a request to each of its servers since ``begin``."""
        self.wait(lambda calls: len({call["host"] for call in calls}) > 1, self.logs)

    def have(self, version: int, numbers: Collection[int]) -> None:
        """Wait until the newest request of each of these clients used at least this version."""
        self.wait(lambda calls: bool(calls) and calls[-1]["version"] >= version, numbers)

    def wait(self, done: Done, numbers: Collection[int]) -> None:
        """Wait until ``done`` returns True for the requests of each client in ``numbers``."""
        until = time.monotonic() + _DEADLINE
        while late := [number for number, calls in self.calls().items() if not done(calls)]:
            if not {*late} & {*numbers}:
                return
            if time.monotonic() > until:
                raise TimeoutError(f"clients {late} are late")
            time.sleep(_POLL)


@contextlib.contextmanager
def fleet(folder: Path, clients: dict[int, Settings]) -> Iterator[Fleet]:
    """Start a client process for each of these settings, and end all at the end of the block.

    Args:
        folder: where the settings files and the file ``stop`` are.
        clients: the settings of each client, by its number.
    """
    stop = folder / "stop"
    stop.unlink(missing_ok=True)
    paths = [client.write(folder / f"client-{at}.json") for at, client in clients.items()]
    argv = [sys.executable, _client.__file__, *map(str, paths)]
    # In a new session, so that all of them end with it.
    with subprocess.Popen(argv, start_new_session=True) as running:
        try:
            yield Fleet({number: _log(settings) for number, settings in clients.items()}, stop)
            stop.touch()
            assert running.wait(_DEADLINE) == 0
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)


def _log(settings: Settings) -> Path:
    from pathlib import Path

    path = Path(settings.log)
    path.touch()
    return path


def _lines(log: Path) -> list[dict[str, Any]]:
    """Return the complete lines of a log that is being written."""
    text = log.read_text(encoding="utf-8")
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
