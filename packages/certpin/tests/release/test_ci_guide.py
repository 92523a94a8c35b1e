"""The page docs/guides/ci.md describes the GitHub action, and its commands work.

Its tables list the action's inputs and outputs, and its commands run exactly as printed.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests._quick_venv import quick_python
from tests._wheels import for_action
from tests.cli._pinfiles import write
from tests.documentation._blocks import FEW, blocks, shell_script
from tests.kit import policy
from tests.release._clone import ROOT, git, needs_clone
from tests.release.test_action import PINNED_CLIENT

if TYPE_CHECKING:
    from certpin.lab import Authority

PAGE = (ROOT / "docs/guides/ci.md").read_text(encoding="utf-8")
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
GITLAB: dict[str, Any] = yaml.safe_load((ROOT / "examples/ci/gitlab.yml").read_text("utf-8"))


def yaml_blocks() -> list[str]:
    return [block.text for block in blocks("guides/ci.md") if block.language == "yaml"]


def rows(header: str) -> list[list[str]]:
    """Return the rows of the page's table that has this heading row.

    Each row is a list of cell texts, without backticks.
    """
    lines = PAGE.partition(f"| {header} |")[2].splitlines()[2:]
    table = lines[: next(n for n, line in enumerate(lines) if not line.startswith("|"))]
    return [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in table]


def test_the_table_of_inputs_is_that_of_the_action() -> None:
    documented = {name: default for name, default, _ in rows("input")}
    assert documented == {name: about["default"] for name, about in ACTION["inputs"].items()}


def test_the_table_of_outputs_is_that_of_the_action() -> None:
    assert [name for name, _ in rows("output")] == list(ACTION["outputs"])


def test_the_steps_have_only_inputs_of_the_action() -> None:
    steps = [step for text in yaml_blocks() for step in yaml.safe_load(text).get("steps", [])]
    used = [step["with"] for step in steps if step["uses"].startswith("OWNER/NAME")]
    assert [each["command"] for each in used] == ["lint", "prove", "prove"]
    assert [each for each in used if not each.keys() <= ACTION["inputs"].keys()] == []


def test_the_hooks_are_those_of_the_repository() -> None:
    (block,) = [text for text in yaml_blocks() if text.startswith("repos:")]
    example = (ROOT / "examples/ci/README.md").read_text(encoding="utf-8")
    assert f"```yaml\n{block}```" in example


@pytest.fixture
def environment(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the environment variables of a simulated CI job.

    The job gets certpin from the last commit of this repository, and all other packages from the
    locked wheels.
    """
    if problem := needs_clone():
        pytest.skip(problem)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python3").symlink_to(quick_python(tmp_path_factory))
    values = {
        "CERTPIN_REPOSITORY": str(ROOT),
        "CERTPIN_COMMIT": git(ROOT, "rev-parse", "HEAD").strip(),
        "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PIP_COMPILE": "0",
        "PIP_FIND_LINKS": str(for_action()),
        "PIP_NO_INDEX": "1",
        "TMPDIR": str(tmp_path),
    }
    return {**os.environ, **values}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_commands_of_the_page_run_as_written(
    environment: dict[str, str], tmp_path: Path, root: Authority
) -> None:
    (tmp_path / "root.pem").write_bytes(root.pem)
    write(policy("api.bank.example"), trust=Path("root.pem"), path=str(tmp_path / "pins.toml"))
    (tmp_path / "client.py").write_text(PINNED_CLIENT)
    own = tmp_path / "bin/python"  # the Python of the client, which has the client's libraries
    own.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    own.chmod(0o755)
    # test_action attacks this client with all cases, in such an environment.
    script = shell_script("guides/ci.md").replace("/certpin prove ", f"/certpin prove {FEW} ")
    assert FEW in script
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment,
        capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 errors" in done.stdout
    assert "<testsuite" in (tmp_path / "prove.xml").read_text()


def test_gitlab_installs_certpin_as_the_page_does() -> None:
    apt, folder, *lines, path = GITLAB[".certpin"]["before_script"]
    assert (apt.split()[:2], folder) == (["apt-get", "update"], 'certpin="$(mktemp -d)"')
    assert path == 'PATH="$certpin/venv/bin:$PATH"'
    (script,) = [block.text for block in blocks("guides/ci.md") if block.language == "sh"]
    theirs = [
        line.replace("certpin-source", "$certpin/source").replace("certpin-venv", "$certpin/venv")
        for line in script.splitlines()[:4]
    ]
    assert [shlex.split(line) for line in lines] == [shlex.split(line) for line in theirs]
    assert set(GITLAB[".certpin"]["variables"]) == {"CERTPIN_REPOSITORY", "CERTPIN_COMMIT"}
