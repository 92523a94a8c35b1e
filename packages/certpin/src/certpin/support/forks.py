"""Keep objects with threads and locks usable in child processes after a fork.

A child process has none of its parent's other threads, and a lock that such a thread held stays
locked in the child for ever. This affects a server that loads the app first, and then forks its
workers: the objects of the app are then in all of its processes.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING
from weakref import ref

if TYPE_CHECKING:
    from collections.abc import Callable


class Forked:
    """Base class for objects that have to prepare for a fork: subclasses override its methods.

    After ``register(object)``, every fork of the process calls the methods of the object.
    """

    def before_fork(self) -> None:
        """Acquire the object's locks, so that no other thread has them while the process forks."""

    def after_fork_in_parent(self) -> None:
        """Release the locks that ``before_fork`` acquired."""

    def after_fork_in_child(self) -> None:
        """Replace the object's locks and threads by new ones. No other thread runs yet."""


# A set of references, not a WeakSet: a thread may add one while another thread copies the set.
_known: set[ref[Forked]] = set()
_notified: list[Forked] = []
_forking = threading.Lock()  # threads that fork at the same time do so one after the other


def native_thread() -> int:
    """Return the number of the thread of the operating system that runs the caller.

    With gevent, all greenlets of such a thread have its number. It is the same in a forked child.
    """
    # gevent may be in the middle of its import, in another thread: nothing is replaced until then.
    original = getattr(sys.modules.get("gevent.monkey"), "get_original", None)
    number: int = original("_thread", "get_ident")() if original else threading.get_ident()
    return number


def threads_survive(native: int | None) -> bool:
    """Return True if the ``threading`` threads in a native thread exist in the forked child, too.

    That is so only if gevent has replaced threads by greenlets, and the fork was made in the same
    native thread: a fork copies the greenlets of that one only.

    Args:
        native: the ``native_thread()`` of the threads; None if they haven't started.
    """
    monkey = sys.modules.get("gevent.monkey")
    replaced = monkey is not None and bool(monkey.is_module_patched("threading"))
    return replaced and native == native_thread()


def register(member: Forked) -> None:
    """Call the fork methods of ``member`` at every fork, until the object is garbage-collected.

    They are those of ``Forked``, such as ``after_fork_in_child``.
    """
    _known.add(ref(member, _known.discard))


class ForkedLock(Forked):
    """A reentrant lock, in the attribute ``held``, that is free in a forked child process.

    A fork does not wait until the lock is free. So if a thread of the parent is in the middle of a
    change at the fork, this change is never completed in the child.
    """

    def __init__(self) -> None:
        self.held = threading.RLock()
        register(self)

    def after_fork_in_child(self) -> None:
        """Replace the lock."""
        self.held = threading.RLock()


class AwaitedLock(ForkedLock):
    """A ``ForkedLock`` for changes in several steps: a fork waits for other threads that have it.

    So a child process never gets an object with a half-made change. To avoid a deadlock, a thread
    that has the lock must not call functions of the app, and must not wait for another
    ``AwaitedLock``, or for a lock that a ``before_fork`` method acquires.
    """

    def before_fork(self) -> None:
        """Acquire the lock."""
        self.held.acquire()

    def after_fork_in_parent(self) -> None:
        """Release the lock."""
        self.held.release()


def _before() -> None:
    _forking.acquire()
    members = [member for each in list(_known) if (member := each()) is not None]
    # These locks last: a thread that has the lock of another object may wait for one of them.
    _notified[:] = sorted(members, key=lambda each: isinstance(each, AwaitedLock))
    for member in _notified:
        member.before_fork()


def _in_parent() -> None:
    _end([each.after_fork_in_parent for each in _notified])


def _in_child() -> None:
    _end([each.after_fork_in_child for each in _notified])


def _end(calls: list[Callable[[], None]]) -> None:
    """Call every function, then raise the last error, if any.

    The functions release or replace locks after a fork. One that raises must not keep the next ones
    from releasing their locks, because a lock that is not released would block the next fork.
    """
    with ExitStack() as stack:
        stack.callback(_forking.release)
        stack.callback(_notified.clear)
        for call in reversed(calls):
            stack.callback(call)


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
