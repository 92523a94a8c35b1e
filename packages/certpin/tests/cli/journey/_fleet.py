"""Forty clients at once: started, looked at, and stopped."""

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

_DEADLINE = 60.0  # seconds until a client has done what is waited for
_POLL = 0.1


@dataclass
class Fleet:
    """Running clients. ``mark`` is the moment from which calls are looked at."""

    logs: dict[int, Path]
    stop: Path
    mark: float = field(default_factory=time.time)

    def begin(self, mark: float | None = None) -> None:
        """Look at what is called from now on alone, or from a moment on."""
        self.mark = time.time() if mark is None else mark

    def calls(self) -> dict[int, list[dict[str, Any]]]:
        """The calls of each client since ``begin``."""
        return {
            number: [call for call in _lines(log) if call["time"] >= self.mark]
            for number, log in self.logs.items()
        }

    def refused(self) -> dict[int, Counter[str]]:
        """The clients that were refused since ``begin``, and with which errors."""
        found = {
            number: Counter(call["error"] for call in calls if call["error"])
            for number, calls in self.calls().items()
        }
        return {number: errors for number, errors in found.items() if errors}

    def everybody_calls(self) -> None:
        """Wait until each client has called each of its servers since ``begin``."""
        self.wait(lambda calls: len({call["host"] for call in calls}) > 1, self.logs)

    def have(self, version: int, numbers: Collection[int]) -> None:
        """Wait until these clients hold a version."""
        self.wait(lambda calls: bool(calls) and calls[-1]["version"] >= version, numbers)

    def wait(self, done: Done, numbers: Collection[int]) -> None:
        """Wait until the calls of each of these clients are as they should be."""
        until = time.monotonic() + _DEADLINE
        while late := [each for each, calls in self.calls().items() if not done(calls)]:
            if not {*late} & {*numbers}:
                return
            if time.monotonic() > until:
                raise TimeoutError(f"clients {late} are late")
            time.sleep(_POLL)


@contextlib.contextmanager
def fleet(folder: Path, clients: dict[int, Settings]) -> Iterator[Fleet]:
    """Start clients by their numbers, and end them all."""
    stop = folder / "stop"
    stop.unlink(missing_ok=True)
    paths = [each.write(folder / f"client-{at}.json") for at, each in clients.items()]
    argv = [sys.executable, _client.__file__, *map(str, paths)]
    # In a session of its own, so that they all end with it.
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
    """The whole lines of a log that is being written."""
    text = log.read_text(encoding="utf-8")
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
