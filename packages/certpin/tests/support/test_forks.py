"""Objects with fork hooks, and locks that are usable in a forked child.

An error in the hook of one object affects no other object or fork.
"""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from certpin.support import forks
from certpin.support.forks import AwaitedLock, Forked, ForkedLock
from tests.updates.test_crashes import in_a_child

PATIENCE = 20  # seconds

# A process without other threads. Python reports the error of a hook, and goes on.
_PROGRAM = """
import os
from certpin.support import forks

class Wrong(forks.Forked):
    calls = 0
    def after_fork_in_parent(self):
        self.calls += 1
        raise RuntimeError("can't start new thread")
    after_fork_in_child = after_fork_in_parent

both = [Wrong(), Wrong()]
for each in both:
    forks.register(each)
for _ in range(2):
    assert not forks._forking.locked()
    if child := os.fork():
        assert os.waitpid(child, 0)[1] == 0
print([each.calls for each in both], forks._forking.locked())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
def test_one_that_fails_leaves_no_lock_behind() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    # Two processes after the first fork, four after the second.
    assert done.stdout.splitlines() == ["[2, 2] False"] * 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("kind", [ForkedLock, AwaitedLock])
def test_a_lock_is_free_in_parent_and_child_after_a_fork(kind: type[ForkedLock]) -> None:
    lock = kind()

    def take() -> None:
        with ThreadPoolExecutor(1) as pool:  # the lock is reentrant: this thread may have it
            assert pool.submit(lock.held.acquire, timeout=PATIENCE).result()

    assert in_a_child(take) == 0
    take()


def test_no_other_thread_has_an_awaited_lock_during_a_fork() -> None:
    lock = AwaitedLock()
    forks._before()
    try:
        with ThreadPoolExecutor(1) as pool:
            assert not pool.submit(lock.held.acquire, blocking=False).result(PATIENCE)
    finally:
        forks._in_parent()


def test_awaited_locks_are_acquired_after_the_locks_of_other_objects() -> None:
    """Otherwise a fork could wait for a thread that waits for a lock which the fork has acquired.

    A thread that replaces pins holds the lock of an updater, and then waits for that of a context.
    """
    members = [kind() for _ in range(20) for kind in (AwaitedLock, Forked)]
    for member in members:
        forks.register(member)
    forks._before()
    order = [isinstance(each, AwaitedLock) for each in forks._notified]
    forks._in_parent()
    assert order == sorted(order)
    assert order.count(True) >= 20


def test_an_object_that_is_gone_is_forgotten() -> None:
    lock = ForkedLock()
    known = len(forks._known)
    del lock
    assert len(forks._known) == known - 1
