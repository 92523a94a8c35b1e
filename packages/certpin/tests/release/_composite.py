"""Run the steps of a composite GitHub action on this machine, as GitHub's runner does.

It supports only those features of composite actions that this repository's action.yml uses.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from pathlib import Path

# `shell: bash` in a composite action.
# https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax
_BASH = ("bash", "--noprofile", "--norc", "-e", "-o", "pipefail")
_EXPRESSION = re.compile(r"\$\{\{\s*([\w.-]+)\s*\}\}")
_SECONDS = 300


@dataclass
class ActionRun:
    """The result of one run of an action.

    It has the exit status, the log, the job summary, the name of the failed step ("" if none
    failed), and the action's outputs.
    """

    status: int = 0
    log: str = ""
    summary: str = ""
    failed_step: str = ""
    outputs: dict[str, str] = field(default_factory=dict)


class CompositeAction:
    """A composite GitHub action, with the folders and variables that a runner gives to its steps.

    Args:
        path: the action's action.yml.
        workspace: the folder of the repository that uses the action; the steps run there.
        temporary: the folder for temporary files, RUNNER_TEMP.
        environment: additional environment variables for every step.
    """

    def __init__(
        self, path: Path, workspace: Path, temporary: Path, environment: dict[str, str]
    ) -> None:
        self._path, self._workspace, self._temporary = path, workspace, temporary
        self._action: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
        self._environment = environment

    def run(self, inputs: dict[str, str]) -> ActionRun:
        """Run the steps in order until one fails, and return their common result.

        Args:
            inputs: values of the action's inputs by name; others have their default. A name that
                action.yml does not declare is an AssertionError.
        """
        known = self._action["inputs"]
        assert set(inputs) <= set(known)
        values = {
            f"inputs.{name}": inputs.get(name, str(about["default"]))
            for name, about in known.items()
        }
        found = ActionRun()
        for number, step in enumerate(self._action["runs"]["steps"]):
            self._step(number, step, values, found)
            if found.status:
                found.failed_step = step["name"]
                break
        found.outputs = {
            name: self._expand(about["value"], values)
            for name, about in self._action["outputs"].items()
        }
        return found

    def _step(
        self, number: int, step: dict[str, Any], values: dict[str, str], found: ActionRun
    ) -> None:
        assert step["shell"] == "bash"
        output, summary = (self._temporary / f"{name}-{number}" for name in ("output", "summary"))
        script = self._temporary / f"script-{number}.sh"
        script.write_text(step["run"])
        for file in (output, summary):
            file.write_text("")
        environment = {
            **os.environ,
            **self._environment,
            **{name: self._expand(text, values) for name, text in step.get("env", {}).items()},
            "GITHUB_ACTION_PATH": str(self._path.parent),
            "GITHUB_OUTPUT": str(output),
            "GITHUB_STEP_SUMMARY": str(summary),
            "GITHUB_WORKSPACE": str(self._workspace),
            "RUNNER_TEMP": str(self._temporary),
        }
        done = subprocess.run(
            [*_BASH, str(script)],
            cwd=self._workspace,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        found.status = done.returncode
        found.log += done.stdout
        found.summary += summary.read_text()
        for line in output.read_text().splitlines():
            name, _, value = line.partition("=")
            values[f"steps.{step['id']}.outputs.{name}"] = value

    @staticmethod
    def _expand(text: str, values: dict[str, str]) -> str:
        """Replace each ``${{ name }}`` in a text by its value; a missing value is an empty text."""
        return _EXPRESSION.sub(lambda match: values.get(match[1], ""), text)
