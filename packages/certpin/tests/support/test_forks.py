"""Objects with fork hooks: an error in the hook of one object affects no other object or fork."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

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
