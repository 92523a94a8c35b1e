"""Fixtures for tests that run commands, such as ``run("pin", "localhost")``, in an empty folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

import click
import pytest
from click.testing import CliRunner

from certpin.cli.main import cli
from certpin.cli.rotate import files
from certpin.pins import utc_now
from certpin.rotation import ServerDate
from tests import kit
from tests.cli import _documented
from tests.cli._pinfiles import write
from tests.servers.nginx import Nginx, nginx
from tests.servers.pebble import pebble

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from certpin.lab import Authority, Identity
    from tests.servers.pebble import Pebble

HOST = "api.bank.example"


@dataclass(frozen=True)
class Done:
    """The result of a command: its exit code and its output."""

    code: int
    out: str
    err: str
    raw: bytes
    command: str

    @property
    def json(self) -> Any:
        """The command's data in the printed JSON, without the fields that all commands print.

        Reading it fails if the printed exit code or command name is wrong.
        """
        document = self.document
        assert document["exit_code"] == self.code
        assert document["command"] == self.command
        return _documented.data_of(document)

    @property
    def error(self) -> Any:
        """The ``error`` object of the printed JSON, which must have the documented fields."""
        _documented.check("error", self.document["error"])
        return self.document["error"]

    @property
    def document(self) -> Any:
        """The standard output of the command, parsed as JSON."""
        return json.loads(self.out)


class Run(Protocol):
    """Type of the function that runs a certpin command in this process.

    It raises exceptions that the command doesn't handle.
    """

    def __call__(self, *words: str | Path, typed: str | None = None, **env: str) -> Done: ...


def invoke(*words: str | Path, typed: str | None = None, **env: str) -> Done:
    """Run ``certpin WORDS`` in this process, with ``typed`` as standard input.

    ``env`` are more environment variables.
    """
    result = CliRunner().invoke(
        cli, [os.fspath(word) for word in words], input=typed, env=env, catch_exceptions=False
    )
    return Done(
        result.exit_code, result.stdout, result.stderr, result.stdout_bytes, _command(words)
    )


def _command(words: tuple[str | Path, ...]) -> str:
    """Return the name of the command in the arguments of certpin, such as ``rotate status``."""
    found, command = [], cast("click.Command", cli)
    for word in map(str, words):
        if not isinstance(command, click.Group):
            break
        part = command.get_command(click.Context(command), word)
        if part is None:
            break
        found.append(word)
        command = part
    return " ".join(found)


_START = ("-m", "certpin.cli.main")
_PATIENCE = 10.0  # seconds for a program to end in order
_started: list[subprocess.Popen[str]] = []


def program(
    *words: str | Path, start: tuple[str, ...] = _START, **options: Any
) -> subprocess.Popen[str]:
    """Start ``certpin WORDS`` as a process. A fixture ends it after the test.

    Args:
        words: the arguments of certpin.
        start: the arguments of Python that start certpin.
        options: options of ``Popen``. By default, output goes to pipes, and there is no input.
    """
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    argv = [sys.executable, *start, *(os.fspath(word) for word in words)]
    # Unbuffered, Python treats a partial write to a pipe as complete.
    env = {**os.environ, **options.pop("env", {}), "PYTHONUNBUFFERED": ""}
    process = subprocess.Popen(argv, env=env, **{"encoding": "utf-8", **pipes, **options})
    _started.append(process)
    return process


@pytest.fixture(autouse=True)
def _no_process_outlives_its_test() -> Iterator[None]:
    """End the programs of a test that failed before it waited for them."""
    before = len(_started)
    yield
    for process in _started[before:]:
        if process.poll() is None:
            process.terminate()  # SIGTERM first, so that the lab ends its child processes
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
    del _started[before:]


_REAL_DATES = files.repository_dates


@pytest.fixture(autouse=True)
def _confirmed_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the date query to the update repository: its date always agrees with the local clock.

    Without that confirmation, commands that depend on time would refuse to act on old journals.
    """

    def agreeing(*_: object, **__: object) -> tuple[ServerDate, ...]:
        return (ServerDate("pins.bank.example", utc_now(), utc_now()),)

    monkeypatch.setattr(files, "repository_dates", agreeing)


@pytest.fixture
def unconfirmed_clock(_confirmed_clock: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Restore the real date query to the update repository, for tests of the rules about time."""
    monkeypatch.setattr(files, "repository_dates", _REAL_DATES)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    for name in ("CERTPIN_PINS", "CERTPIN_PASSPHRASE", "CERTPIN_DEBUG", "NO_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return invoke


@pytest.fixture
def begun(run: Run) -> Run:
    """Return the function that runs commands, after keys were made and version 3 was published."""
    from tests.cli._signed_sets import begin  # it imports this module

    begin(run)
    return run


@pytest.fixture(scope="session")
def identity(intermediate: Authority) -> Identity:
    """Return the key and the chain of the bank's server."""
    return intermediate.issue(HOST, "localhost", "127.0.0.1", "::1", "*.shops.example")


@pytest.fixture(scope="session")
def bank(identity: Identity) -> Iterator[Nginx]:
    """Start the bank's server: nginx with a chain to the root of the tests."""
    with nginx({HOST: identity}) as server:
        yield server


@pytest.fixture(scope="module")
def authority() -> Iterator[Pebble]:
    """Start an ACME authority: pebble with a new root."""
    with pebble() as running:
        yield running


@pytest.fixture
def ca(root: Authority, tmp_path: Path) -> Path:
    """Write the tests' root certificate to a PEM file, and return its path."""
    path = tmp_path / "root.pem"
    path.write_bytes(root.pem)
    return path


@pytest.fixture
def connect_args(bank: Nginx) -> tuple[str, ...]:
    """Return the options that connect any host name to the bank's server."""
    return ("--connect", f"127.0.0.1:{bank.port}")


def checked(run: Run, *words: str | Path) -> dict[str, Any]:
    """Run ``certpin check WORDS`` for a single host, and return that host's JSON.

    Fail unless the JSON is as documented and the exit code fits the host's status.
    """
    done = run("check", *words, "--json")
    _documented.check("check", done.json)
    (host,) = done.json["hosts"]
    assert {"holds": 0, "finding": 1, "inconclusive": 3}[host["status"]] == done.code
    found: dict[str, Any] = host
    return found


@pytest.fixture
def pinned(run: Run, ca: Path, identity: Identity) -> Run:
    """Write a pin file that matches the bank's server. Return the function that runs commands."""
    hosts = (HOST, "localhost", "::1")
    write(*(kit.policy(host, identity.pin) for host in hosts), trust=ca)
    return run
