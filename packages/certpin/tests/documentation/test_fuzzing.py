"""docs/guides/fuzzing.md: its commands run, and its table is complete."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.documentation._blocks import DOCS, shell_script
from tests.documentation._scripts import run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.peer("curl")
def test_the_commands_of_the_page_run(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/go").write_text("#!/bin/sh\nexit 1\n", encoding="ascii")  # slow to build
    (tmp_path / "bin/go").chmod(0o755)
    done = run(shell_script("guides/fuzzing.md"), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "30 chains of seed 7: the client accepted none that all others refuse." in done.stdout
    assert "Not compared with go" in done.stdout
    assert "Your policy decides" in done.stdout


def test_the_disagreements_of_the_table_add_up() -> None:
    text = (DOCS / "guides/fuzzing.md").read_text(encoding="utf-8")
    rows = re.findall(r"(?m)^\| [\w, ]+ \| (\d+) \|", text)
    assert len(rows) == 10
    assert sum(map(int, rows)) == 10_000 - 1_672 - 5_618
