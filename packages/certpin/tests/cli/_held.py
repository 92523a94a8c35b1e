"""Runs certpin in another process that stops before one of its steps, until the test goes on."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from tests.cli.conftest import program

if TYPE_CHECKING:
    from pathlib import Path

# Steps at which a process can be held.
LOCKS = "certpin.pinfile.file._wait_for_lock"  # it locks the files next
WAITS = "time.sleep"  # another process has the lock
WRITES = "certpin.pinfile.editor.write_atomically"  # it has the lock, and has compared the file
APPENDS = "certpin.cli.rotate.files.append_lines"  # it has written the pin file, not the journal
PROBES = "certpin.cli.rotate.files._probe_once"  # it has read the files, and contacts servers next
DECIDES = "certpin.rotation.new_observations"  # it has read the files, and the served chains
MARKS = "certpin.rotation.marks.missing_marks"  # it has read the files
READS = "certpin.cli.rotate.start.resolve_key"  # `rotate start KEY` reads the key next
STARTS = "certpin.cli.rotate.start._is_started"  # `rotate start --new` has read the files

_CODE = """
import sys
from importlib import import_module
from certpin.cli.main import main

module, name = sys.argv.pop(1).rsplit(".", 1)
owner = import_module(module)
real = getattr(owner, name)

def held(*args, **options):
    setattr(owner, name, real)  # only the first call is held
    print("held", file=sys.stderr, flush=True)
    sys.stdin.readline()
    return real(*args, **options)

setattr(owner, name, held)
main()
"""


class Held:
    """A process that runs ``certpin WORDS``, and stops before a step (one of the constants).

    The constructor returns when it has stopped, and fails if it ends before.

    Args:
        step: the step.
        words: the arguments of certpin.
    """

    def __init__(self, step: str, *words: str | Path) -> None:
        self.process = program(
            step, *words, start=("-c", _CODE), stdin=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        assert line == "held\n", line

    def go_on(self) -> None:
        """Let the process take the step."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self) -> tuple[int, str]:
        """Let the process take the step; return its exit code and both of its outputs."""
        out, err = self.process.communicate("\n", timeout=60)
        return self.process.returncode, out + err

    def kill(self) -> None:
        """Kill the process (SIGKILL) before it takes the step."""
        self.process.kill()
        self.process.wait(60)
