"""Pinned clients beside packages that replace parts of the standard stack.

urllib3-future replaces urllib3, and rtls or utls replaces ``ssl``. They can't be in the
common environment, so these tests run in another one (requirements/niquests.txt): the files
``replaced/check_*.py``, which pytest does not collect here, and the tests of all clients.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
PYTHON = ROOT / ".venvs" / "niquests" / "bin" / "python"
CHECKS = sorted(map(str, Path(__file__).parent.joinpath("replaced").glob("check_*.py")))
# The environment in which niquests, requests and urllib3 are tested like the others.
SHARED = [
    str(Path(__file__).with_name(f"test_{name}.py"))
    for name in ("conformance", "proxies", "requests", "urllib3")
]

pytestmark = [pytest.mark.slow, pytest.mark.peer("nginx")]


def run_there(backend: str, files: list[str]) -> None:
    """Run tests in that environment, with TLS over TCP by default from ``backend``."""
    assert PYTHON.exists(), (
        f"{PYTHON} is missing; fix: "
        "python3 -m scripts.setup_venv .venvs/niquests requirements/niquests.txt"
    )
    # Remove variables that would make the inner run measure, record, distribute or require tests.
    ours = ("COV", "CERTPIN_", "PYTEST_", "PYTHON")
    env = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    done = subprocess.run(
        [PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files],
        cwd=ROOT,
        env=env | {"URLLIB3_FUTURE_SSL_BACKEND": backend},
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "skipped" not in said, said
    assert "passed" in said, said


@pytest.mark.parametrize("backend", ["ssl", "rtls", "utls"])
def test_pins_are_enforced_with_every_tls_backend(backend: str) -> None:
    run_there(backend, CHECKS)


@pytest.mark.peer("tinyproxy", "libnginx-mod-stream")
@pytest.mark.timeout(300)
def test_niquests_and_urllib3_future_pass_the_tests_of_all_clients() -> None:
    run_there("rtls", SHARED)
