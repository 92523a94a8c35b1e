"""The clients of Google and Azure, which are in another environment (requirements/clouds.txt).

The tests there are ``large/check_*.py``, which pytest does not collect here.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
PYTHON = ROOT / ".venvs" / "clouds" / "bin" / "python"
CHECKS = sorted(map(str, Path(__file__).parent.joinpath("large").glob("check_*.py")))


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS, ids=lambda path: Path(path).stem)
def test_keys_of_google_and_azure_sign(check: str) -> None:
    assert PYTHON.exists(), f"{PYTHON} is missing; fix: make environments"
    # Remove variables that would make the inner run measure, record, distribute or require tests.
    ours = ("COV", "CERTPIN_", "PYTEST_", "PYTHON")
    env = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    done = subprocess.run(
        [PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", check],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "skipped" not in said, said
    assert "passed" in said, said
