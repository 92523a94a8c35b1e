"""The end of the process that reporters live in: their notes are written to disk before it."""

from __future__ import annotations

import atexit
import sys
from contextlib import suppress
from typing import Any, Protocol
from weakref import WeakSet

_AT_EXIT = 2.0  # seconds for writing notes to disk


class Settling(Protocol):
    """The part of a ``Reporter`` that is used here."""

    def settle(self, seconds: float) -> bool:
        """Write the notes to disk."""


_alive: WeakSet[Settling] = WeakSet()


def settle_at_exit(reporter: Settling) -> None:
    """Settle a reporter when the interpreter ends, if it still exists."""
    _alive.add(reporter)


def before_a_worker_ends() -> None:
    """Settle reporters when a child of multiprocessing ends.

    Such children end without atexit, but call the finalizers that they registered themselves. They
    forget those of their parent, so each child registers one when it has something to report.
    """
    util: Any = sys.modules.get("multiprocessing.util")
    if util is not None:
        util.Finalize(None, _settle_all, exitpriority=0)


@atexit.register
def _settle_all() -> None:
    """An app may end without ``close()``: its reports are sent at the next start."""
    for each in list(_alive):
        with suppress(Exception):
            each.settle(_AT_EXIT)
