"""Command line that runs certpin and prints its peak of memory, in kB, as its last line on stderr.

The kernel's number for a child process (``ru_maxrss``) would be too high: it begins with the size
of the process that forked.
"""

from __future__ import annotations

import sys

_TELL_PEAK = """\
import atexit, pathlib, re, runpy, sys
status = pathlib.Path("/proc/self/status")
peak = lambda: re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1]
atexit.register(lambda: print(peak(), file=sys.stderr))
runpy.run_module("certpin.cli.main", run_name="__main__", alter_sys=True)
"""

CERTPIN = (sys.executable, "-c", _TELL_PEAK)
