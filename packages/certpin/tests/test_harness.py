"""The test suite's own plugins: left-out tests are reported, and tests stay on this machine.

The repository's conftest.py gives child processes default signals, lets threads make loggers, works
with Hypothesis in CI, and decides which of Hypothesis' profiles try the same examples in each run.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from scripts import peers
from scripts.record import FORBIDDEN
from tests import _loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[3]
PYTHONPATH = f"{ROOT}{os.pathsep}{ROOT / 'packages/certpin'}"  # scripts and tests
PROFILES = """
import json
import conftest
from hypothesis import settings

found = {name: settings.get_profile(name) for name in ("certpin", "quick", "random")}
found["loaded"] = settings.default
same = [name for name, profile in found.items() if profile.derandomize]
remembered = [name for name, profile in found.items() if profile.database]
print(json.dumps({"same examples": same, "failures are remembered": remembered}))
"""
LEFT_OUT = "def test_it():\n    pytest.skip('left out: nginx is not installed')\n"
SILENT = "def test_it():\n    pytest.skip('not today')\n"
PASSES = "def test_too():\n    pass\n"
AWAY = "192.0.2.1"  # RFC 5737: documentation, never a host

ALONE_AND_WITH_XDIST = pytest.mark.parametrize(
    "words", [(), ("-p", "xdist.plugin", "-n", "2")], ids=["alone", "xdist"]
)

# Its tests run with SQLite and with PostgreSQL.
WITH_POSTGRESQL = "packages/certpin-watch/tests/watch/store/queries/test_failures.py"

Run = pytest.RunResult


@pytest.fixture
def record(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = pytester.path / "record.jsonl"
    monkeypatch.setenv("CERTPIN_RECORD", str(path))
    monkeypatch.setenv("CERTPIN_RUN", "a run")
    return path


@pytest.fixture
def run(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, record: Path
) -> Callable[..., Run]:
    """Return a function that runs the source of a test file in a separate pytest.

    The plugins ``_leftout`` and ``_loopback`` are active there. Other arguments of the function are
    those of pytest. Each run takes a second.
    """
    monkeypatch.setenv("PYTHONPATH", PYTHONPATH)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)  # it uses nothing of certpin
    monkeypatch.delenv("CERTPIN_REQUIRE_ALL", raising=False)
    pytester.makeconftest("pytest_plugins = ['tests._leftout', 'tests._loopback']")

    def _run(source: str, *words: str) -> Run:
        pytester.makeini("[pytest]\nmarkers =\n  peer\n  since_python\n")
        pytester.makepyfile(f"import pytest, socket\n{source}")
        return pytester.runpytest_subprocess("-p", "no:cacheprovider", *words)

    return _run


def kept(record: Path) -> dict[str, Any]:
    (line,) = record.read_text().splitlines()
    run: dict[str, Any] = json.loads(line)
    return run


@pytest.mark.slow
@ALONE_AND_WITH_XDIST
def test_a_left_out_test_is_reported_and_recorded(
    run: Callable[..., Run], record: Path, words: tuple[str, ...]
) -> None:
    result = run(LEFT_OUT + PASSES, *words)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["* left out *", "1 tests: nginx is not installed"])
    left_out = {"nginx is not installed": 1}
    assert kept(record) == {
        "name": "a run",
        "passed": 1,
        "failed": 0,
        "left_out": left_out,
        "failures": {},
    }


@pytest.mark.slow
def test_the_record_keeps_the_error_of_each_failed_test(
    run: Callable[..., Run], record: Path
) -> None:
    run("def test_it():\n    assert 1 == 2\n" + PASSES, "-p", "xdist.plugin", "-n", "2")
    ((name, error),) = kept(record)["failures"].items()
    assert name.endswith("::test_it")
    assert "assert 1 == 2" in error


@pytest.mark.slow
def test_a_left_out_test_fails_the_run_if_all_are_required(
    run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CERTPIN_REQUIRE_ALL", "1")
    assert run(LEFT_OUT + PASSES).ret == pytest.ExitCode.TESTS_FAILED


@pytest.mark.slow
def test_a_test_that_the_machine_forbids_is_reported_without_failure(
    run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CERTPIN_REQUIRE_ALL", "1")
    forbidden = LEFT_OUT.replace("nginx is not installed", f"{FORBIDDEN}namespaces")
    result = run(forbidden + PASSES)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["*= left out =*", "1 tests: this machine forbids *"])
    assert run(forbidden + LEFT_OUT.replace("test_", "test_other_") + PASSES).ret


@pytest.mark.slow
@ALONE_AND_WITH_XDIST
@pytest.mark.parametrize(
    "source", [SILENT, "pytest.skip('not today', allow_module_level=True)\n"], ids=["test", "file"]
)
def test_a_skip_for_another_reason_fails_the_run(
    run: Callable[..., Run], source: str, words: tuple[str, ...]
) -> None:
    result = run(source + PASSES, *words)
    assert result.ret != pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["*: not today"])


@pytest.mark.slow
def test_a_test_whose_peer_is_missing_is_left_out(run: Callable[..., Run]) -> None:
    nowhere = "from scripts import peers\npeers.Peer.find = lambda peer: None\n"
    result = run(f"{nowhere}@pytest.mark.peer('tinyproxy', 'nginx')\n{PASSES}")
    result.stdout.fnmatch_lines(["1 tests: tinyproxy is not installed (*tinyproxy-bin)"])


@pytest.mark.slow
def test_an_unlisted_peer_is_an_error(run: Callable[..., Run]) -> None:
    result = run("@pytest.mark.peer('apache')\n" + PASSES)
    assert result.ret == pytest.ExitCode.USAGE_ERROR


@pytest.mark.slow
def test_a_test_for_a_newer_python_is_deselected(run: Callable[..., Run]) -> None:
    result = run("@pytest.mark.since_python('3.99')\n" + PASSES + LEFT_OUT)
    result.assert_outcomes(skipped=1, deselected=1)


@pytest.mark.slow
def test_a_test_for_an_older_python_is_deselected(run: Callable[..., Run]) -> None:
    result = run("@pytest.mark.until_python('3.10')\n" + PASSES + LEFT_OUT)
    result.assert_outcomes(skipped=1, deselected=1)


@pytest.mark.slow
def test_a_run_without_tests_fails(run: Callable[..., Run]) -> None:
    assert run("").ret == pytest.ExitCode.NO_TESTS_COLLECTED


@pytest.mark.slow
def test_a_connection_to_another_machine_fails_the_test_even_if_caught(
    run: Callable[..., Run],
) -> None:
    result = run(
        "def test_it():\n"
        "    try:\n"
        f"        socket.create_connection(('{AWAY}', 443), timeout=1)\n"
        "    except BaseException:\n"
        "        pass\n"
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines([f"*tried to reach {AWAY}:443*"])


def test_the_proxy_and_the_terminal_of_the_user_do_not_reach_tests() -> None:
    user = {"HTTPS_PROXY": "http://proxy:3128", "no_proxy": "x", "NO_COLOR": "1", "LANG": "C"}
    _loopback.forget_user(user)
    assert user == {"LANG": "C", "PIP_PROXY": "http://proxy:3128"}
    assert not {"http_proxy", "HTTP_PROXY", "COLUMNS", "NO_COLOR"} & os.environ.keys()


@pytest.mark.parametrize("host", [AWAY, "2001:db8::1", "::ffff:192.0.2.1", "0.0.0.0"])
def test_an_address_of_another_machine_is_refused(host: str) -> None:
    with pytest.raises(_loopback.OutsideNetworkError), swallowed():
        _loopback._watch("socket.connect", (None, (host, 443)))


@pytest.mark.parametrize("host", ["bank.example", "localhost.example", b"bank.test"])
def test_a_name_of_another_machine_is_not_looked_up(host: str | bytes) -> None:
    with pytest.raises(_loopback.OutsideNetworkError), swallowed():
        socket.getaddrinfo(host, 443)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1", "localhost"])
def test_connections_to_this_machine_are_allowed(host: str) -> None:
    _loopback._watch("socket.connect", (None, (host, 443)))
    _loopback._watch("socket.getaddrinfo", (host, 443))


@pytest.mark.parametrize("host", ["nobody.invalid", "NOBODY.INVALID."])
def test_an_invalid_name_is_answered_locally(host: str) -> None:
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo(host, 443)


def test_a_unix_socket_is_allowed(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as client, pytest.raises(FileNotFoundError):
        client.connect(str(tmp_path / "none"))


def test_every_peer_has_a_package_and_a_reason() -> None:
    lines = (ROOT / "requirements" / "debian.txt").read_text().splitlines()
    rows = [line for line in lines if line and not line.startswith("#")]
    assert all(line.partition("#")[2].strip() for line in rows)
    assert len(peers.read()) == len(rows)


@contextlib.contextmanager
def swallowed() -> Iterator[None]:
    """Forget the forbidden connections of the block, so that they don't fail this test."""
    try:
        yield
    finally:
        _loopback._attempts.clear()


@pytest.mark.slow
def test_children_start_with_default_signals_under_nohup(pytester: pytest.Pytester) -> None:
    pytester.makeconftest((ROOT / "conftest.py").read_text(encoding="utf-8"))
    pytester.makepyfile(
        """
        import signal, subprocess, sys

        def test_it():
            program = "import signal; print(signal.getsignal(signal.SIGHUP).name)"
            words = [sys.executable, "-c", program]
            done = subprocess.run(words, capture_output=True, text=True, check=True)
            assert done.stdout == "SIG_DFL\\n"
        """
    )
    words = ["nohup", sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    ours = ("COV", "CERTPIN_")
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    env = {**inherited, "PYTHONPATH": PYTHONPATH, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_a_logger_can_be_made_while_pytest_goes_through_all() -> None:
    for number, _ in enumerate(logging.root.manager.loggerDict.values()):
        if not number:
            logging.getLogger("certpin.tests.made_meanwhile")


@pytest.mark.medium
def test_hypothesis_runs_with_ci_in_the_environment() -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("CERTPIN_")}
    first = (
        "packages/certpin/tests/pins/test_hosts.py"
        "::test_a_normalised_host_is_normalised_already_and_junk_is_refused"
    )
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-cov", first]
    done = subprocess.run(
        words, cwd=ROOT, env={**env, "CI": "true"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.medium
@pytest.mark.parametrize("ci", [{}, {"CI": "true"}], ids=["as here", "in CI"])
def test_only_the_profile_random_tries_other_examples_in_each_run(ci: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROFILES],
        cwd=ROOT, env={**os.environ, **ci}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout) == {
        "same examples": ["certpin", "quick", "loaded"],
        "failures are remembered": ["random"],
    }


@pytest.mark.slow
def test_the_services_mark_for_postgresql_is_not_for_tests_of_certpin() -> None:
    """The service's tests with the parameter are slow, and those of certpin stay quick."""
    files = ("packages/certpin/tests/lab/test_registries.py", WITH_POSTGRESQL)
    words = ("--collect-only", "-q", "-k", "postgres", "-p", "no:cacheprovider")
    listed = {
        marks: subprocess.run(
            [sys.executable, "-m", "pytest", *words, "-m", marks, *files],
            cwd=ROOT, capture_output=True, text=True, check=True,
        ).stdout
        for marks in ("slow", "not slow")
    }  # fmt: skip
    assert f"{files[0]}::test_every_protocol_is_documented[postgres]" in listed["not slow"]
    assert WITH_POSTGRESQL in listed["slow"]
    assert WITH_POSTGRESQL not in listed["not slow"]
