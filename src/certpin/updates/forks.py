"""Forks: a server that loads the app first and forks its workers then has updaters in all of them.

A thread does not come along into a child. Each updater that was started is started again there, and
none is forked in the middle of a swap, since a lock that was held would stay so in the child.
Threads that fork at the same time do so one after the other.
"""

from __future__ import annotations

import os
import threading
from typing import Protocol
from weakref import WeakSet


class _Forked(Protocol):
    def hold_swaps(self, *, held: bool) -> None: ...
    def wake_in_child(self) -> None: ...


_known: WeakSet[_Forked] = WeakSet()
_held: list[_Forked] = []
_forking = threading.Lock()


def register(updater: _Forked) -> None:
    """Keep an updater whole when its process forks."""
    _known.add(updater)


def _before() -> None:
    _forking.acquire()
    _held[:] = list(_known)
    for each in _held:
        each.hold_swaps(held=True)


def _in_parent() -> None:
    for each in _held:
        each.hold_swaps(held=False)
    _held.clear()
    _forking.release()


def _in_child() -> None:
    for each in _held:
        each.wake_in_child()
    _held.clear()
    _forking.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
