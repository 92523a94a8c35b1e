"""Mutation tests: each rule is removed from a copy of the source, and its test must fail.

`make test` runs the mutations of the core (``CORE``), `make mutations` all of them.
Select those of one rule by its number:
``pytest packages/certpin/tests/test_mutations.py -k rule-4``.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import certpin
import certpin_watch
from tests.formats.flutter.mutations_connections import MUTATIONS as CONNECTIONS
from tests.formats.flutter.mutations_signed import MUTATIONS as SIGNED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _pytest.mark import ParameterSet

    from tests._mutation import Mutation

REPOSITORY = Path(__file__).parents[3]
LISTS = (
    "tests.advice.mutations",
    "tests.apps.mutations",
    "tests.apps.mutations_dart",
    "tests.hsm.mutations",
    "tests.kms.mutations",
    "tests.calendar.mutations",
    "tests.rotation.mutations_chains",
    "tests.rotation.mutations_time",
    "tests.cli.mutations_doctor",
    "tests.cli.mutations_keys",
    "tests.cli.mutations_parallel",
    "tests.cli.mutations_printed",
    "tests.cli.mutations_servers",
    "tests.cli.mutations_webhook",
    "tests.pins.mutations",
    "tests.tls.mutations_a",
    "tests.tls.mutations_b",
    "tests.tls.mutations_revocation",
    "tests.clients.mutations",
    "tests.formats.mutations_mobile",
    "tests.formats.mutations_okhttp",
    "tests.lab.mutations",
    "tests.lab.mutations_other_hosts",
    "tests.lab.mutations_reach",
    "tests.lab.mutations_serve",
    "tests.lab.evidence.mutations",
    "tests.lab.attacks.mutations",
    "tests.lab.attacks.mutations_changes",
    "tests.lab.attacks.mutations_controlled",
    "tests.lab.attacks.mutations_holes",
    "tests.lab.attacks.mutations_http3",
    "tests.lab.attacks.mutations_trust",
    "tests.lab.fuzz.mutations",
    "tests.lab.own.mutations",
    "tests.lab.server.mutations",
    "tests.lab.server.mutations_starttls",
    "tests.lab.server.mutations_transport",
    "tests.lab.server.mutations_weak_tls",
    "tests.lint.mutations",
    "tests.providers.mutations",
    "tests.formats.mutations_programs",
    "tests.reports.mutations",
    "tests.roots.mutations",
    "tests.rotation.mutations",
    "tests.rotation.mutations_numbers",
    "tests.rotation.mutations_simulate",
    "tests.updates.mutations",
    "tests.updates.mutations_cache",
    "tests.publish.mutations_push",
    "tests.publish.mutations",
    "tests.watch.store.queries.mutations",
    "tests.watch.store.mutations",
    "tests.watch.collector.mutations",
    "tests.watch.alerts.mutations",
    "tests.watch.web.mutations",
    "tests.watch.auth.mutations",
    "tests.watch.monitor.mutations",
)

# Modules that decide about a connection, a signed set, a rotation step or a client of the lab.
CORE = (
    "certpin/tls/",
    "certpin/pins/",
    "certpin/clients/",
    "certpin/updates/",
    "certpin/rotation/",
    "certpin/lab/verdict.py",
)

# Variables that would make the inner run measure, record, distribute, or require all tests.
_OURS = ("COV", "CERTPIN_", "PYTEST_", "PYTHON")

# Load only the plugins of ``_warm.py``. (certpin's plugin is imported before pytest begins, so its
# asserts are not rewritten.)
_WORDS = (
    *("-q", "-x", "--tb=native", "-o", "addopts=--import-mode=importlib"),
    "--disable-plugin-autoload",
    *("-p", "no:cacheprovider"),
    "--hypothesis-profile=unshrunk",  # quicker: a failure is enough
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
)

_FIXTURES = 30  # seconds: how long the fixtures of one test may take
_HUNG = -signal.SIGABRT  # the exit code of a job that isn't done in time


def _mutations() -> list[Mutation]:
    return [each for name in LISTS for each in importlib.import_module(name).MUTATIONS]


def _located(node: str) -> str:
    """Return the node id of a test from the root of the repository on.

    Mutations name tests from the folder ``tests`` on.
    """
    if not node.startswith("tests/"):
        return node
    package = "certpin-watch" if node.startswith("tests/watch/") else "certpin"
    return f"packages/{package}/{node}"


def _marks(mutation: Mutation) -> list[pytest.MarkDecorator]:
    return [] if mutation.file.startswith(CORE) else [pytest.mark.mutation]


def _cases() -> Iterator[ParameterSet]:
    for number, each in enumerate(_mutations()):
        test = each.test.rpartition("::")[2]
        yield pytest.param(each, marks=_marks(each), id=f"{number} rule-{each.rule} {test}")


class Warm:
    """Runner of tests against a copy of certpin's source, which a mutation may change.

    Each run is a fork of one Python process (``_warm.py``).
    """

    def __init__(self, folder: Path) -> None:
        self.source = folder / "src"
        self._output = folder / "output"
        # With its bytecode, which stays valid for unchanged files (PEP 552: by time and size).
        for package in (certpin, certpin_watch):
            original = Path(str(package.__file__)).parent
            # Without the temporary files of a Python that compiles a module meanwhile.
            unfinished = shutil.ignore_patterns("*.pyc.*")
            shutil.copytree(original, self.source / original.name, ignore=unfinished)
        self._start()

    def _start(self) -> None:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(_OURS)}
        self._python = subprocess.Popen(
            # An option, which the programs that tests start don't inherit, unlike PYTHONSAFEPATH.
            [sys.executable, "-P", Path(__file__).with_name("_warm.py")],
            cwd=self.source.parent,  # certpin and the tests are not found from here
            env=inherited | {"PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, patience: int, *nodes: str) -> tuple[int, str]:
        """Run the tests ``nodes``; return pytest's exit code and output.

        ``patience`` is the time limit for each test without its fixtures, in seconds.
        """
        job = {
            "source": str(self.source),
            "folder": str(REPOSITORY),
            "output": str(self._output),
            "limit": patience + _FIXTURES * len(nodes),
            # Fixtures don't count: on a busy machine they can take longer, and an error of a
            # fixture is no failure of the test.
            "words": [
                *(*_WORDS, "-o", f"timeout={patience}", "-o", "timeout_func_only=true"),
                *map(_located, nodes),
            ],
        }
        assert self._python.stdin
        assert self._python.stdout
        try:
            self._python.stdin.write(json.dumps(job) + "\n")
            self._python.stdin.flush()
            code = int(self._python.stdout.readline())
        except BaseException:  # the time limit of this test: a late answer is not the next one's
            self._python.kill()
            self._python.communicate()
            self._start()
            raise
        return code, self._output.read_text(encoding="utf-8", errors="replace")

    def close(self) -> None:
        """End the Python process."""
        self._python.communicate()


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    found = Warm(tmp_path_factory.mktemp("warm"))
    yield found
    found.close()


@contextmanager
def without(rule: Mutation, source: Path) -> Iterator[None]:
    """Apply a mutation to the copy of certpin in ``source``, and undo it after the block."""
    file = source / rule.file
    text, times = file.read_bytes(), file.stat()
    assert text.decode().count(rule.old) == 1, f"{rule.old!r} stands once in {rule.file}"
    file.write_bytes(text.decode().replace(rule.old, rule.new).encode())
    try:
        yield
    finally:
        file.write_bytes(text)
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))  # its bytecode is valid again


def notices(rule: Mutation, warm: Warm, patience: int) -> None:
    """Assert that the test of a mutation fails while the mutation is applied.

    ``patience`` is the time limit for the test, in seconds.
    """
    with without(rule, warm.source):
        code, said = warm.run(patience, rule.test)
        if code in {pytest.ExitCode.INTERNAL_ERROR, _HUNG}:
            # pytest-timeout can interrupt pytest itself while it formats the failure, and a fixture
            # can hang after it.
            code, said = warm.run(4 * patience, rule.test)
    assert code == pytest.ExitCode.TESTS_FAILED, said
    assert "1 failed" in said, said


@pytest.mark.slow
@pytest.mark.parametrize("mutation", list(_cases()))
def test_removing_a_rule_fails_the_test_of_that_rule(mutation: Mutation, warm: Warm) -> None:
    # Many tests hang without their rule: eight seconds are enough to detect that.
    notices(mutation, warm, 8)


@pytest.mark.slow
@pytest.mark.timeout(600)  # hundreds of tests; each has its own limit
@pytest.mark.parametrize(
    "core",
    [pytest.param(True, id="core"), pytest.param(False, id="rest", marks=pytest.mark.mutation)],
)
def test_the_same_tests_pass_without_a_mutation(warm: Warm, core: bool) -> None:
    chosen = [each for each in _mutations() if each.file.startswith(CORE) is core]
    nodes = sorted({mutation.test for mutation in chosen})
    code, said = warm.run(60, *nodes)
    assert code == pytest.ExitCode.OK, said


@pytest.mark.slow
def test_each_mutation_names_a_test_and_text_of_the_source(warm: Warm) -> None:
    """Nothing else in `make test` notices a renamed test of a mutation that only others run."""
    mutations = [*_mutations(), *CONNECTIONS, *SIGNED]
    for each in mutations:
        text = (warm.source / each.file).read_text(encoding="utf-8")
        assert text.count(each.old) == 1, f"{each.old!r} stands once in {each.file}"
    nodes = {_located(each.test) for each in mutations}
    for node in nodes:
        file, _, name = node.partition("[")[0].partition("::")
        assert f"def {name}(" in _text(file), node
    parameters = {node for node in nodes if "[" in node}
    code, said = warm.run(60, "--collect-only", *{node.partition("::")[0] for node in parameters})
    assert code == pytest.ExitCode.OK, said
    assert sorted(parameters - set(said.splitlines())) == []


@cache
def _text(file: str) -> str:
    return (REPOSITORY / file).read_text(encoding="utf-8")


# Leaves an object with a destructor that raises after pytest has printed its summary.
_RAISES_AT_THE_END = """
import sys
import pytest

class Left:
    def __del__(self):
        raise ValueError("left over")

@pytest.fixture(scope="session")
def left(pytestconfig):
    pytestconfig.add_cleanup(lambda: sys.modules.pop("left_over", None))
    sys.modules["left_over"] = Left()

def test_it(left):
    assert RIGHT
"""


# Hangs after its test has failed, where pytest-timeout doesn't end it.
_HANGS_AT_THE_END = """
import threading
import pytest

@pytest.fixture
def hangs():
    yield
    threading.Event().wait()

def test_it(hangs):
    assert False
"""


@pytest.mark.slow
def test_a_fixture_that_hangs_ends_with_the_time_limit_of_the_job(
    warm: Warm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.test_mutations._FIXTURES", 4)
    file = tmp_path / "test_hangs.py"
    file.write_text(_HANGS_AT_THE_END, encoding="utf-8")
    code, said = warm.run(1, str(file))
    assert code == _HUNG
    assert "in hangs" in said
    assert warm.run(1, "--version")[0] == pytest.ExitCode.OK  # the next job is answered


@pytest.mark.slow
@pytest.mark.parametrize(("right", "counted"), [(False, "1 failed"), (True, "1 passed")])
def test_an_error_after_the_summary_fails_the_run_with_its_summary(
    right: bool, counted: str, warm: Warm, tmp_path: Path
) -> None:
    """An exception after pytest's summary ends a run of ``Warm`` as it ends `python -m pytest`.

    The exit code is that of a failure, and the output has the summary and the exception.
    """
    file = tmp_path / "test_left.py"
    file.write_text(_RAISES_AT_THE_END.replace("RIGHT", str(right)), encoding="utf-8")
    code, said = warm.run(8, "-W", "error::pytest.PytestUnraisableExceptionWarning", str(file))
    assert code == pytest.ExitCode.TESTS_FAILED
    assert counted in said
    assert "ValueError: left over" in said
