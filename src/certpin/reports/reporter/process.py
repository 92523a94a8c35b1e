"""The process that reporters live in: it forks, and it ends."""

from __future__ import annotations

import atexit
import os
import sys
from contextlib import suppress
from typing import Any, Protocol
from weakref import WeakSet

_AT_EXIT = 2.0  # seconds for putting notes on the disk


class Living(Protocol):
    """What is needed of a ``Reporter``."""

    def begin(self) -> None:
        """Make all anew that has a lock or a thread."""

    def settle(self, seconds: float) -> bool:
        """Put on the disk what is noted."""


_alive: WeakSet[Living] = WeakSet()


def live(reporter: Living) -> None:
    """Let a reporter know of forks, and of the end."""
    _alive.add(reporter)


def before_a_worker_ends() -> None:
    """The children of multiprocessing end without atexit, but with what they register here. When
    they begin, they forget it: so each registers it when it has something to report.
    """
    util: Any = sys.modules.get("multiprocessing.util")
    if util is not None:
        util.Finalize(None, _put_on_disk, exitpriority=0)


@atexit.register
def _put_on_disk() -> None:
    """An app that ends without ``close()``: what it met is sent when it is started again."""
    for each in list(_alive):
        with suppress(Exception):
            each.settle(_AT_EXIT)


def _begin_in_a_child() -> None:
    """Before anything else runs there: no thread is, and any lock may be held by one over there."""
    for each in list(_alive):
        each.begin()


if hasattr(os, "register_at_fork"):  # not on Windows, where nobody forks
    os.register_at_fork(after_in_child=_begin_in_a_child)
