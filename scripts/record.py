"""What ran and what was left out, kept while `make test` runs: one JSON line for each run."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

FILE = "CERTPIN_RECORD"  # the environment variable that names the file; without it nothing is kept
RUN = "CERTPIN_RUN"  # the one that names the run
# A reason that begins like this is reported and is not a failure, because no installation step of
# ours can help: the machine's kernel forbids it, or Debian's unstable suite has moved on.
FORBIDDEN = "this machine forbids "
UNSTABLE = "not on this machine, nor from Debian's unstable suite: "
REQUIRE_ALL = "CERTPIN_REQUIRE_ALL"  # with 1, what is left out is a failure


@dataclass
class Run:
    """One run of the suite, or one that could not be.

    ``left_out`` counts tests by reason. ``failures`` holds the error of each test that failed.
    """

    name: str
    passed: int = 0
    failed: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def must_not_be(self) -> bool:
        """Return True if something is left out that this machine could be made to run."""
        return any(not reason.startswith((FORBIDDEN, UNSTABLE)) for reason in self.left_out)


def append(run: Run) -> None:
    """Keep a run, where someone asked for it."""
    if path := os.environ.get(FILE):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(run)) + "\n")


def read() -> list[Run]:
    """The runs that were kept, in their order."""
    path = Path(os.environ.get(FILE, os.devnull))
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [Run(**json.loads(line)) for line in lines]


def all_required() -> bool:
    """Whether a test that is left out is a failure."""
    return os.environ.get(REQUIRE_ALL) == "1"
