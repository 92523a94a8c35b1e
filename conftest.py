"""Fixtures for all tests. The helpers in ``tests.kit`` are plain functions."""

from __future__ import annotations

import gc
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

# No test depends on timing, including those of Hypothesis.
settings.register_profile("certpin", deadline=None)
settings.register_profile("quick", deadline=None, max_examples=20)  # for `make quick`
settings.load_profile("certpin")

pytest_plugins = ["tests._browser", "tests._leftout", "tests._loopback"]


def pytest_configure(config: pytest.Config) -> None:
    """Let all children start with default signals, and find the package ``tests``.

    The signals are the default ones also under ``nohup`` and in the background.

    A child inherits an ignored signal; a signal with a handler is reset to the default on exec
    (execve(2)). So the test run may still ignore SIGHUP, and its children don't.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, _go_on)
    # Programs that tests start can import `tests`, as the tests can. A worker inherits the folders.
    inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    folders = [*filter(None, inherited), *map(str, config.getini("pythonpath"))]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(folders))


def _go_on(*_: object) -> None:
    """Ignore a signal in this process only."""


@given(st.none())
def _start_hypothesis(_: None) -> None:
    """Make Hypothesis create its random generator."""


def pytest_collection_finish() -> None:
    """Exclude all loaded objects from garbage collection, because they are used to the end."""
    if sys.version_info >= (3, 14):
        # Hypothesis warns about its own generator if the garbage collector can't see what refers to
        # it, and freezing hides that. It happens with CI in the environment.
        _start_hypothesis()
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def root() -> Authority:
    """The root that clients of the tests trust."""
    return Authority("Test Root")


@pytest.fixture(scope="session")
def intermediate(root: Authority) -> Authority:
    """An intermediate below the root, which issues the servers' certificates."""
    return root.intermediate("Test Intermediate")


@pytest.fixture
def trusted_root(root: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the platform's own trust store consist of the test root; returns the PEM file."""
    return kit.trust_on_this_platform(root, tmp_path, monkeypatch)
