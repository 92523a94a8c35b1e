"""The record of `make test`: a file with one JSON line for each pytest process.

A line has the number of passed, failed and left-out (skipped) tests.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

FILE = (
    "CERTPIN_RECORD"  # the environment variable that names the file; without it nothing is recorded
)
RUN = "CERTPIN_RUN"  # the variable that names the run
# A reason that begins like this is reported and is not a failure, because no installation step
# can help: the machine's kernel forbids it, or Debian's unstable suite has moved on.
FORBIDDEN = "this machine forbids "
UNSTABLE = "not on this machine, nor from Debian's unstable suite: "
REQUIRE_ALL = "CERTPIN_REQUIRE_ALL"  # with 1, a left-out test is a failure


@dataclass
class Run:
    """The results of one run of the test suite, such as that of one Python version.

    ``left_out`` has the number of skipped tests by reason. ``failures`` has the error of each test
    that failed, by test. A Python that is not available has a run with a reason only.
    """

    name: str
    passed: int = 0
    failed: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def add(self, other: Run) -> None:
        """Add the counts and the failures of another pytest process of this run."""
        self.passed += other.passed
        self.failed += other.failed
        for reason, count in other.left_out.items():
            self.left_out[reason] = self.left_out.get(reason, 0) + count
        self.failures |= other.failures

    @property
    def must_not_be(self) -> bool:
        """Return True if a test was skipped that could run on this machine.

        Return False if all reasons are limits of this machine or of Debian's unstable suite.
        """
        return any(not reason.startswith((FORBIDDEN, UNSTABLE)) for reason in self.left_out)


def append(run: Run) -> None:
    """Append a run to the file that CERTPIN_RECORD names; do nothing without the variable."""
    if path := os.environ.get(FILE):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(run)) + "\n")


def read() -> list[Run]:
    """Return the recorded runs in order. Lines with the same run name are added up."""
    path = Path(os.environ.get(FILE, os.devnull))
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    runs: dict[str, Run] = {}
    for line in lines:
        piece = Run(**json.loads(line))
        runs.setdefault(piece.name, Run(piece.name)).add(piece)
    return list(runs.values())


def all_required() -> bool:
    """Return True if CERTPIN_REQUIRE_ALL=1: a skipped test that could run is then a failure."""
    return os.environ.get(REQUIRE_ALL) == "1"
