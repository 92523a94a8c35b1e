"""The command line as a function: ``run("pin", "localhost")``, in an empty folder of its own."""

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
from tests import kit
from tests.cli import _documented
from tests.cli._pinfiles import write
from tests.servers.nginx import Nginx, nginx

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from certpin.lab import Authority, Identity

HOST = "api.bank.example"


@dataclass(frozen=True)
class Done:
    """How a command ended: its exit code, and what it printed."""

    code: int
    out: str
    err: str
    raw: bytes
    command: str

    @property
    def json(self) -> Any:
        """The data of the JSON object that it printed, which must have the right head."""
        document = self.document
        assert document["exit_code"] == self.code
        assert document["command"] == self.command
        return _documented.data_of(document)

    @property
    def error(self) -> Any:
        """The error of the JSON object that it printed."""
        _documented.check("error", self.document["error"])
        return self.document["error"]

    @property
    def document(self) -> Any:
        """Its output, as JSON."""
        return json.loads(self.out)


class Run(Protocol):
    """Runs a command in this process. A bug is raised, not turned into an exit code."""

    def __call__(self, *words: str | Path, typed: str | None = None, **env: str) -> Done: ...


def invoke(*words: str | Path, typed: str | None = None, **env: str) -> Done:
    """Run ``certpin WORDS``; ``typed`` is what standard input holds."""
    result = CliRunner().invoke(
        cli, [os.fspath(word) for word in words], input=typed, env=env, catch_exceptions=False
    )
    return Done(
        result.exit_code, result.stdout, result.stderr, result.stdout_bytes, _command(words)
    )


def _command(words: tuple[str | Path, ...]) -> str:
    """The command that the words call, with those of its groups."""
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
    """Start ``certpin WORDS`` as a program of its own, with pipes for whatever is not given."""
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    argv = [sys.executable, *start, *(os.fspath(word) for word in words)]
    # Unbuffered, Python takes half a write to a pipe for a whole one.
    env = {**os.environ, **options.pop("env", {}), "PYTHONUNBUFFERED": ""}
    process = subprocess.Popen(argv, env=env, **{"encoding": "utf-8", **pipes, **options})
    _started.append(process)
    return process


@pytest.fixture(autouse=True)
def _no_process_outlives_its_test() -> Iterator[None]:
    """End each program that a test started and did not wait for, because it failed before."""
    before = len(_started)
    yield
    for process in _started[before:]:
        if process.poll() is None:
            process.terminate()  # politely, so that the lab ends its own children
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
    del _started[before:]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    for name in ("CERTPIN_PINS", "CERTPIN_PASSPHRASE", "CERTPIN_DEBUG", "NO_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return invoke


@pytest.fixture(scope="session")
def identity(intermediate: Authority) -> Identity:
    """The chain of the bank's server."""
    return intermediate.issue(HOST, "localhost", "127.0.0.1", "::1", "*.shops.example")


@pytest.fixture(scope="session")
def bank(identity: Identity) -> Iterator[Nginx]:
    """The bank's server: nginx, whose chain leads to the root of the tests."""
    with nginx({HOST: identity}) as server:
        yield server


@pytest.fixture
def ca(root: Authority, tmp_path: Path) -> Path:
    """The root of the tests as a file."""
    path = tmp_path / "root.pem"
    path.write_bytes(root.pem)
    return path


@pytest.fixture
def dial(bank: Nginx) -> tuple[str, ...]:
    """The options that lead to the bank's server, whatever host is asked for."""
    return ("--connect", f"127.0.0.1:{bank.port}")


def checked(run: Run, *words: str | Path) -> dict[str, Any]:
    """The only host of a check, as JSON; exit code and status have to agree."""
    done = run("check", *words, "--json")
    _documented.check("check", done.json)
    (host,) = done.json["hosts"]
    assert {"holds": 0, "finding": 1, "inconclusive": 3}[host["status"]] == done.code
    found: dict[str, Any] = host
    return found


@pytest.fixture
def pinned(run: Run, ca: Path, identity: Identity) -> Run:
    """The command, in a folder with a pin file that holds for the bank's server."""
    hosts = (HOST, "localhost", "::1")
    write(*(kit.policy(host, identity.pin) for host in hosts), trust=ca)
    return run
