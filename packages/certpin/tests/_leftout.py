"""Report every test that is left out.

A test that needs a real peer from Debian names its programs: ``@pytest.mark.peer("nginx")``.
If one is missing, the test is skipped with a reason that begins with ``left out:``. Helpers
may skip with such a reason too. Every left-out test is listed in a summary at the end; with
CERTPIN_REQUIRE_ALL=1 it fails the run, unless its reason begins with ``this machine forbids``:
no package could change that. A skip for any other reason always fails the run.

A test that only a newer Python can run is marked ``@pytest.mark.since_python("3.13")``. It is
deselected on older ones: `make test` runs it on that Python, or reports that Python as left out.
``until_python("3.14")`` is for tests that need a tool without packages for a newer Python.

The conftest.py of the repository loads it.
"""

from __future__ import annotations

import os
import sys
from collections import Counter

import pytest

from scripts import peers, record

_LEFT_OUT = "left out: "
_LONGEST_FAILURE = 1500  # characters: the error, and the line that raised it


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "until_python(version): deselected on a newer Python")
    # With xdist the workers report to the main process, which counts.
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Tally(), "certpin-tally")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    elsewhere = [item for item in items if _needs_another_python(item)]
    if elsewhere:
        config.hook.pytest_deselected(items=elsewhere)
        items[:] = [item for item in items if item not in elsewhere]
    known = peers.by_name()
    for item in items:
        if unknown := [name for name in _peers(item) if name not in known]:
            raise pytest.UsageError(
                f"{item.nodeid}: no peer {unknown[0]!r} (add it to requirements/debian.txt)"
            )


def pytest_runtest_setup(item: pytest.Item) -> None:
    known = peers.by_name()
    for name in _peers(item):
        if known[name].find() is None:
            pytest.skip(f"{_LEFT_OUT}{name} is not installed ({known[name].fix})")


def _peers(item: pytest.Item) -> list[str]:
    return [name for mark in item.iter_markers("peer") for name in mark.args]


def _needs_another_python(item: pytest.Item) -> bool:
    running = sys.version_info[:2]
    too_old = any(running < each for each in _versions(item, "since_python"))
    return too_old or any(running > each for each in _versions(item, "until_python"))


def _versions(item: pytest.Item, mark: str) -> list[tuple[int, ...]]:
    return [tuple(map(int, each.args[0].split("."))) for each in item.iter_markers(mark)]


class _Tally:
    """Pytest plugin that counts the results, lists left-out tests, and may fail the run.

    It runs in the main process. The run fails if a test was skipped for another reason, or if
    CERTPIN_REQUIRE_ALL=1 is set and a test was left out that this machine doesn't forbid.
    """

    def __init__(self) -> None:
        self.run = record.Run(os.environ.get(record.RUN, "tests"))
        self.skipped: dict[
            str, str
        ] = {}  # the reason by test, because xdist may report a test twice

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.run.passed += report.when == "call" and report.passed
        self._count_failure(report)
        if report.skipped and not hasattr(report, "wasxfail"):
            self.skipped[report.nodeid] = _reason(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._count_failure(report)
        if report.skipped:
            self.skipped[report.nodeid] = _reason(report)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self.run.left_out = dict(Counter(self._left_out()))
        record.append(self.run)
        required = self.run.must_not_be and record.all_required()
        if (self._silent() or required) and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.run.left_out:
            failed = self.run.must_not_be and record.all_required()
            terminalreporter.section("left out" + (" (failed)" if failed else ""))
            for reason, count in self.run.left_out.items():
                terminalreporter.write_line(f"{count} tests: {reason}")
        if silent := self._silent():
            terminalreporter.section("skipped (failed)")
            for name, reason in silent.items():
                terminalreporter.write_line(f"{name}: {reason or 'no reason'}")
            terminalreporter.write_line(f"  fix: run it, or give a reason like '{_LEFT_OUT}…'")

    def _count_failure(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.failed:
            self.run.failed += 1
            self.run.failures[report.nodeid] = report.longreprtext[-_LONGEST_FAILURE:]

    def _left_out(self) -> list[str]:
        reasons = self.skipped.values()
        return [each.removeprefix(_LEFT_OUT) for each in reasons if each.startswith(_LEFT_OUT)]

    def _silent(self) -> dict[str, str]:
        return {
            name: reason
            for name, reason in self.skipped.items()
            if not reason.startswith(_LEFT_OUT)
        }


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Return the reason given to ``pytest.skip()``; ``longrepr`` is (file, line, reason)."""
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")
