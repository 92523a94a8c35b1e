"""Run the clients of examples/clients against the lab, in this process if that is faster."""

from __future__ import annotations

import atexit
import importlib.util
import subprocess
import sys
import tempfile
import threading
from functools import cache
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
from tests.formats.flutter import _vm
from tests.lab._clients import BY_NAME
from tests.lab.gallery._table import HOLES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from certpin.lab.case import Case
    from certpin.lab.client import ClientUnderTest
    from certpin.lab.pki import Style
    from certpin.lab.runner import Run
    from certpin.lab.target import Target
    from tests.lab.gallery._table import Hole, Program

CLIENTS = Path(__file__).parents[5] / "examples" / "clients"
BROKEN = CLIENTS / "broken"
# The broken clients; the other files there are parts of them.
FILES = sorted(
    path
    for path in BROKEN.rglob("*.*")
    if path.suffix in {".py", ".sh", ".mjs", ".go", ".dart"}
    and not path.stem.startswith("_")
    and path.stem not in {"lab", "main"}
)
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
            for name, part in _parts.items():
                patch.setitem(sys.modules, name, part)
        spec.loader.exec_module(module)
    return module


def _load_parts() -> dict[str, Any]:
    """Load the helper modules that the broken example clients import, and return them by name."""
    parts = {}
    with pytest.MonkeyPatch.context() as patch:
        for name in ("_lab", "_tls12"):
            spec = importlib.util.spec_from_file_location(name, BROKEN / f"{name}.py")
            assert spec is not None
            assert spec.loader is not None
            parts[name] = importlib.util.module_from_spec(spec)
            patch.setitem(sys.modules, name, parts[name])  # for dataclasses, and the next one
            spec.loader.exec_module(parts[name])
    return parts


_parts = _load_parts()


def broken(name: str) -> Call:
    """Return a broken example client in Python, which runs in this process, by its name."""
    program = load(BROKEN / f"{name}.py")

    def call(target: Target) -> object:
        file_only = name in HOLES and HOLES[name].file_only
        pins = frozenset() if file_only else frozenset({target.pin, target.backup})
        words = (target.host, target.port, str(target.ca), pins, target.canary, str(target.pins))
        proxy = (target.proxy_port, target.tls_proxy)
        certificate = "" if file_only else target.certificate.read_text("utf-8")
        return program.main(_parts["_lab"].Target(*words, *proxy, target.case, certificate))

    return Call(call)


def library(name: str, function: str, patch: pytest.MonkeyPatch) -> Call:
    """Return an example client that uses a Python HTTP library, which runs in this process.

    Each call sets environment variables, so only one may run at a time.

    Args:
        name: the library, as in the file ``python_{name}.py``
        function: the module's function that sends the request
        patch: restores the environment after the test
    """
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
    """Return a client that runs this command for each case.

    ``via`` is how the client reaches the lab: through its HTTP proxy by default.
    """
    return Command(words, via=via)


def in_its_language(name: str, chosen: Program) -> Command:
    """Return a broken client in Go, Node.js, Dart or shell as a command to run.

    ``name`` is its file below ``BROKEN``, and ``chosen`` has its arguments.
    """
    path = BROKEN / name
    start: tuple[str, ...]
    match path.suffix:
        case ".go":
            start = (str(_broken_in_go()), path.stem)
        case ".dart":
            start = (str(_vm.NEWEST.program), str(_dart_program()), path.stem)
        case suffix:
            start = ("node" if suffix == ".mjs" else "sh", str(path))
    return program(*start, *chosen.words, via=chosen.via)


def peer_of(name: str) -> str:
    """Return the program that must be installed for a broken client in Go, Node.js, Dart or shell.

    ``name`` is the client's file. The result is the argument of ``pytest.mark.peer``.
    """
    beginning = Path(name).name.partition("_")[0]
    shell = {"wget": "wget", "openssl": "openssl", "gnutls": "gnutls-cli"}.get(beginning, "curl")
    return {".go": "go", ".mjs": "node", ".dart": "dart", ".sh": shell}[Path(name).suffix]


@cache
def _scratch() -> Path:
    """Return a folder for compiled programs, which is removed when the tests end."""
    folder = tempfile.TemporaryDirectory(prefix="certpin-gallery-")
    atexit.register(folder.cleanup)
    return Path(folder.name)


@cache
def go_program(name: str, *files: Path) -> Path:
    """Compile files in Go into a program with this name, and return its path."""
    binary = _scratch() / name
    # The user's cache makes the second build fast; nothing is downloaded.
    subprocess.run(["go", "build", "-o", binary, *files], check=True, timeout=110)
    return binary


def _broken_in_go() -> Path:
    """Compile all broken clients in Go into one program."""
    return go_program("broken_go", *sorted((BROKEN / "go").glob("*.go")))


@cache
def _dart_program() -> Path:
    """Compile all broken clients in Dart into one snapshot, with full type checks."""
    packages, kernel = _vm.package_config(_scratch(), {}), _scratch() / "broken.dill"
    errors = _vm.compile_kernel(BROKEN / "dart" / "main.dart", packages, kernel)
    assert not errors, errors
    return kernel


def check(client: ClientUnderTest, hole: Hole) -> None:
    """Check that the lab catches a broken client in the cases of its fault, and only there.

    The client must pass the control and the neighbouring case, fail the cases of ``hole``, and the
    report must name exactly the cause in ``hole``.
    """
    chosen = [BY_NAME[name] for name in (hole.neighbour, *hole.cases)]
    with Lab(style=hole.style, tls=hole.tls, stall=hole.stall) as lab:
        run = prove(lab, client, chosen, jobs=2)
    assert run.controlled, [result.why for result in run.results]
    outcomes = {result.case.name: result.outcome for result in run.results[1:-1]}
    neighbour = {hole.neighbour: Outcome.RIGHT}
    assert outcomes == neighbour | dict.fromkeys(hole.cases, hole.outcome)
    causes = find_causes(run.results)
    assert [cause.title for cause in causes] == ([hole.cause] if hole.cause else [])
    assert all(1 <= len(cause.proof) <= 3 for cause in causes)
    # The neighbour that the client passes is a part of the proof, or another case is.
    assert all(len(cause.proof) > 1 for cause in causes)


def fails(
    client: ClientUnderTest, style: Style, *, jobs: int = 2, only: Sequence[Case] = CASES
) -> Mapping[str, str]:
    """Run a client on the cases. Return those that it fails or that warn, with their verdicts."""
    return bad_cases(attacked(client, style, jobs=jobs, only=only))


def attacked(
    client: ClientUnderTest, style: Style, *, jobs: int = 2, only: Sequence[Case] = CASES
) -> Run:
    """Run a client on the cases in a new lab, and return the run with all results.

    ``jobs`` is the number of clients that run at once.
    """
    with Lab(style=style, stall=STALL) as lab:
        return prove(lab, client, only, jobs=jobs)


def bad_cases(run: Run) -> Mapping[str, str]:
    """Return the verdicts of the cases in a run that are wrong or warn, by the name of the case.

    Fails if a wrong case has no cause or more than one, or if a case is undecided.
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
