"""Run ``certpin lab serve`` as a program, and read its output line by line."""

from __future__ import annotations

import json
import signal
import ssl
import urllib.request
from typing import TYPE_CHECKING, Any, Self

from tests.cli import _documented
from tests.cli.conftest import program
from tests.lab._device import MOST, fetch

if TYPE_CHECKING:
    from pathlib import Path

_DEADLINE = 60.0
_TABLES = {"begun": "lab begun", "case": "lab case", "ended": "lab ended"}


class Serving:
    """A process of ``certpin lab serve --json``, as a context manager.

    Entering it reads the first event, when the lab listens; leaving it kills the process.
    """

    def __init__(self, *words: str | Path, host: str = "api.bank.example", **options: Any) -> None:
        self._process = program("lab", "serve", "--host", host, "--json", *words, **options)

    def __enter__(self) -> Self:
        self.begun = self.event()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.kill()
        self._process.communicate()

    @property
    def port(self) -> int:
        return int(self.begun["port"])

    @property
    def proxy(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        return self._process.pid

    def event(self) -> dict[str, Any]:
        """Return the data of the next printed JSON line, which must have the documented fields."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self._process.communicate()
        event = _documented.data_of(json.loads(line))
        _documented.check(_TABLES[event["event"]], event)
        return event

    def send(self, number: int) -> None:
        """Send the signal with this number to the lab's process."""
        self._process.send_signal(number)

    def end(self, number: int = signal.SIGINT) -> tuple[int, list[dict[str, Any]], str]:
        """Send a signal, and wait until the process ends.

        Returns:
            The exit code, the events that were not read before, and standard error.
        """
        self.send(number)
        out, err = self._process.communicate(timeout=_DEADLINE)
        lines = [json.loads(line) for line in out.splitlines()]
        events = [_documented.data_of(line) for line in lines if "error" not in line]
        for event in events:
            _documented.check(_TABLES[event["event"]], event)
        for error in (line["error"] for line in lines if "error" in line):
            _documented.check("error", error)
            err += f"{error['message']}\nfix: {error['fix']}\n"
        return self._process.returncode, events, err

    def wait(self) -> tuple[int, list[dict[str, Any]], str]:
        """Wait until the lab ends by itself.

        Returns:
            The exit code, the events that were not read before, and standard error.
        """
        return self.end(0)


def from_lab(lab: Serving, path: str) -> bytes:
    """Return the file at ``path`` of the lab's web page, fetched through the lab's proxy."""
    handler = urllib.request.ProxyHandler({"http": lab.proxy})
    with urllib.request.build_opener(handler).open(f"http://certpin.lab{path}", timeout=20) as got:
        body: bytes = got.read()
        return body


def use_up(port: int, context: ssl.SSLContext) -> None:
    """Connect with this context, again and again, until the lab has run all cases and ended.

    ``port`` is the port of the lab.
    """
    for _ in range(MOST):
        try:
            fetch(port, context)
        except ConnectionRefusedError:
            return
        except (ssl.SSLError, OSError, AssertionError):
            continue
