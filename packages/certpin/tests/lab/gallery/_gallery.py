"""Run the clients of examples/clients against the lab, in this process if that is faster."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from certpin.lab.attacks import CASES
from certpin.lab.case import CannotServeError
from certpin.lab.client import Call, Command, environment
from certpin.lab.lab import Lab
from certpin.lab.report.causes import find_causes
from certpin.lab.runner import prove
from certpin.lab.verdict import Ending, Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from certpin.lab.case import Case
    from certpin.lab.client import ClientUnderTest
    from certpin.lab.pki import Style
    from certpin.lab.runner import Run
    from certpin.lab.target import Target

CLIENTS = Path(__file__).parents[5] / "examples" / "clients"
BROKEN = CLIENTS / "broken"
STALL = 0.1  # seconds; these clients wait longer, so that the result is the same
JARS = "/usr/share/java/okhttp.jar:/usr/share/java/okio.jar"


def load(path: Path) -> Any:
    """Load a program of the gallery as a module, without leaving it in ``sys.modules``."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(path.parent))
        if path.parent == BROKEN:
            patch.setitem(sys.modules, "_lab", _shared)
        spec.loader.exec_module(module)
    return module


def _load_shared() -> Any:
    spec = importlib.util.spec_from_file_location("_lab", BROKEN / "_lab.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "_lab", module)  # needed by dataclasses
        spec.loader.exec_module(module)
    return module


_shared = _load_shared()


def broken(name: str) -> Call:
    """Return a broken client, which runs in this process."""
    program = load(BROKEN / f"{name}.py")

    def call(target: Target) -> object:
        pins = frozenset({target.pin, target.backup})
        words = (target.host, target.port, str(target.ca), pins, target.canary)
        return program.main(_shared.Target(*words, str(target.pins)))

    return Call(call)


def library(name: str, function: str, patch: pytest.MonkeyPatch) -> Call:
    """Return a Python HTTP client. It runs in this process, one at a time for its environment."""
    program = load(CLIENTS / f"python_{name}.py")

    def call(target: Target) -> object:
        for variable, value in environment(target, "connect").items():
            patch.setenv(variable, value)
        return getattr(program, function)(target.url, target.proxy)

    return Call(call)


class Jvm:
    """OkHttp in one JVM for all cases, because starting a JVM takes longer than a hundred cases."""

    def __init__(self, folder: Path) -> None:
        subprocess.run(
            ["javac", "-d", folder, "-cp", JARS, CLIENTS / "OkHttp.java"], check=True, timeout=100
        )
        self.classpath = f"{JARS}:{folder}"
        self._lock = threading.Lock()
        self._java = subprocess.Popen(
            ["java", "-XX:TieredStopAtLevel=1", "-cp", self.classpath, "OkHttp", "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def run(self, target: Target) -> Ending:
        """Send one request with a new OkHttp client."""
        if target.clock:
            raise CannotServeError("the clock of a JVM that runs cannot be moved")
        assert self._java.stdin is not None
        assert self._java.stdout is not None
        words = (target.url, target.proxy_port, target.truststore, target.pin, target.backup)
        with self._lock:
            print(*words, file=self._java.stdin, flush=True)
            answer = self._java.stdout.readline()
        status, _, output = answer.partition(" ")
        return Ending(int(status), output)

    def stop(self) -> None:
        """Kill the JVM."""
        self._java.kill()
        self._java.communicate()


def program(*words: str, via: str = "connect") -> Command:
    """Return a program of the gallery."""
    return Command(words, via=via)


def fails(
    client: ClientUnderTest, style: Style, *, jobs: int = 2, only: Sequence[Case] = CASES
) -> Mapping[str, str]:
    """Return the cases that a client fails or that warn, with their verdicts."""
    return bad_cases(attacked(client, style, jobs=jobs, only=only))


def attacked(
    client: ClientUnderTest, style: Style, *, jobs: int = 2, only: Sequence[Case] = CASES
) -> Run:
    """Run a client against the cases."""
    with Lab(style=style, stall=STALL) as lab:
        return prove(lab, client, only, jobs=jobs)


def bad_cases(run: Run) -> Mapping[str, str]:
    """Return the cases of a run that are wrong or that warn, with their verdicts.

    Each wrong one has exactly one cause.
    """
    wrong = [result.case.name for result in run.results if result.outcome is Outcome.WRONG]
    explained = [name for cause in find_causes(run.results) for name in cause.cases]
    assert sorted(explained) == sorted(wrong)
    assert run.controlled, [result.why for result in run.results]
    undecided = [result for result in run.results if result.outcome is Outcome.UNDECIDED]
    assert not undecided, "\n".join(f"{result.case.name}: {result.why}" for result in undecided)
    bad = {Outcome.WRONG, Outcome.WARNING}
    return {
        result.case.name: f"{result.verdict}" for result in run.results if result.outcome in bad
    }
