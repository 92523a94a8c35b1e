"""Fixtures for all tests. The helpers in ``tests.kit`` are plain functions."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from certpin.lab import Authority
from tests import kit

if TYPE_CHECKING:
    from pathlib import Path

# No test depends on timing, including those of Hypothesis, and each run tries the same examples:
# otherwise a run would fail by chance, for a reason that its change did not cause (decision 91).
settings.register_profile("certpin", deadline=None, derandomize=True)
settings.register_profile("quick", settings.get_profile("certpin"), max_examples=20)
# For `make properties`. A profile without a parent is based on the loaded one: with CI in the
# environment that is Hypothesis' own "ci", which tries the same examples, and keeps no failures.
settings.register_profile(
    "random", settings.get_profile("default"), derandomize=False, deadline=None, print_blob=True
)
settings.load_profile("certpin")

# Not ``pytest_plugins``: for each name there, pytest reads the entry points of all packages.
_PLUGINS = ("tests._browser", "tests._leftout", "tests._loopback")


def pytest_configure(config: pytest.Config) -> None:
    """Load the plugins of the tests, and prepare this process for the children that tests start.

    The children get default signal handling, and can import the package ``tests``.

    A child process inherits an ignored signal, but a signal with a handler is reset to its default
    on exec (execve(2)). Under ``nohup`` or in the background, the test run starts with ignored
    signals. This hook replaces them by handlers, so that the children have the defaults. Except
    for SIGINT, the handler does nothing.
    """
    for name in _PLUGINS:
        config.pluginmanager.import_plugin(name)
    logging.root.manager.loggerDict = _Loggers(logging.root.manager.loggerDict)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, _go_on)
    # Programs that tests start can import `tests`, as the tests can. A worker inherits the folders.
    inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    folders = [*filter(None, inherited), *map(str, config.getini("pythonpath"))]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(folders))


class _Loggers(dict[str, "logging.Logger | logging.PlaceHolder"]):
    """All loggers by name, for Python's logging.

    Before each test, pytest goes through the loggers. A thread of a server can make a logger at the
    same time, and the iteration over a dictionary that grows raises RuntimeError.
    """

    def values(self) -> list[logging.Logger | logging.PlaceHolder]:  # type: ignore[override]
        """Return a list, which doesn't grow."""
        return list(super().values())


_FEW = 100  # tests, as of one mutation: a collection would take half of their time


def _go_on(*_: object) -> None:
    """Do nothing: a signal handler that ignores a signal in this process only."""


@given(st.none())
def _start_hypothesis(_: None) -> None:
    """Run one empty property-based test, so that Hypothesis creates its random generator."""


def pytest_collection_finish(session: pytest.Session) -> None:
    """Exclude the objects loaded so far from garbage collection: they are used until the end."""
    if sys.version_info >= (3, 14):
        # Hypothesis warns about its own generator if the garbage collector can't see what refers to
        # it, and freezing hides that. It happens with CI in the environment.
        _start_hypothesis()
    if len(session.items) > _FEW:
        gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def root() -> Authority:
    """Return the root certificate authority that clients under test trust."""
    return Authority("Test Root")


@pytest.fixture(scope="session")
def intermediate(root: Authority) -> Authority:
    """Return an intermediate authority, signed by the root, that issues server certificates."""
    return root.intermediate("Test Intermediate")


@pytest.fixture
def trusted_root(root: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the platform's trust store contain only the test root; return the root's PEM file."""
    return kit.trust_on_this_platform(root, tmp_path, monkeypatch)
