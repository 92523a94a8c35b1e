"""docs/project/measurements.md: its command runs, and each result names its benchmark."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.bench.__main__ import MEASUREMENTS
from tests.documentation._blocks import DOCS, ROOT, shell_script

PAGE = (DOCS / "project/measurements.md").read_text(encoding="utf-8")
# figure, command, result, promise
ROWS = [line.strip("|").split("|") for line in PAGE.splitlines() if line.count("|") == 5][2:]


def test_each_result_names_a_measurement() -> None:
    named = {name for row in ROWS for name in re.findall(r"`(\w+)`", row[1])}
    assert len(ROWS) > 15
    assert named == set(MEASUREMENTS) - {"pages"}
    assert "**pages**" in PAGE


@pytest.mark.slow
def test_the_example_prints_the_results_that_are_counted() -> None:
    script = shell_script("project/measurements.md").replace(".venv/bin/python", sys.executable)
    done = subprocess.run(
        ["sh", "-c", script], cwd=ROOT, capture_output=True, encoding="utf-8", check=True
    )
    ours, peer = re.findall(
        r"(?m)^ *(?:check .* requests|beside.*ngclient)  +([\d.]+) ", done.stdout
    )[:2]
    [documented] = [row[2].strip() for row in ROWS if "update check without news: req" in row[0]]
    assert f"{float(ours):g}; {float(peer):g}" == documented
