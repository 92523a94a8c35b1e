"""The templates for CI platforms are well-formed, and the certpin commands in them are valid.

So are the hooks for pre-commit. The job for a change detects changed trust anchors, and accepts the
first pin file of a repository.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest
import yaml

from certpin.cli.main import cli
from certpin.lab import Authority
from tests.cli._pinfiles import write
from tests.kit import policy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[3]
HOOKS = ROOT / ".pre-commit-hooks.yaml"
GUIDE = ROOT / "docs/guides/ci.md"
README = ROOT / "examples/ci/README.md"
TEMPLATES = sorted((ROOT / "examples/ci").glob("*.yml"))


def _read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _texts(value: Any) -> Iterator[str]:
    """Yield all strings in a parsed document, at any depth, except for the keys of dictionaries."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for each in value.values() for text in _texts(each))
    elif isinstance(value, list):
        yield from (text for each in value for text in _texts(each))


def _calls(value: Any) -> list[list[str]]:
    """Return the words of each certpin command in a document, without pipes and redirections."""
    commands = (re.split(r"[|;&>]+", line) for text in _texts(value) for line in text.splitlines())
    pieces = [piece.strip() for command in commands for piece in command]
    return [shlex.split(piece) for piece in pieces if re.match(r"certpin [a-z]+( |$)", piece)]


def _parse(words: list[str]) -> None:
    """Parse the words of a certpin command with click.

    Raises: click.UsageError: The words are not a valid command.
    """
    _, name, *others = words
    context = click.Context(cli)
    command = cli.get_command(context, name)
    if command is None:
        raise click.UsageError(f"there is no command {name}")
    command.make_context(name, list(others), parent=context)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_every_call_of_certpin_parses(path: Path) -> None:
    if path.name.endswith("-signing.yml"):  # they call signing.sh, which a test of it runs
        assert _calls(_read(path)) == []
        return
    calls = _calls(_read(path))
    assert len(calls) >= 2
    for words in calls:
        _parse(words)


@pytest.mark.parametrize(
    "line", ["certpin lnt", "certpin lint --fail-of warning", "certpin diff a"]
)
def test_an_invalid_call_is_detected(line: str) -> None:
    (words,) = _calls({"script": [f"true | {line} > x"]})
    with pytest.raises(click.UsageError):
        _parse(words)


def test_the_hooks_are_valid_for_pre_commit() -> None:
    hooks = {hook["id"]: hook for hook in _read(HOOKS)}
    assert list(hooks) == ["certpin-lint", "certpin-lint-trust", "certpin-export-check"]
    assert all(hook.keys() >= {"name", "entry", "language"} for hook in hooks.values())
    pattern = hooks["certpin-lint"]["files"]
    assert [bool(re.search(pattern, name)) for name in ("pins.toml", "a/pins.toml", "pins.tomlx")]
    assert not re.search(pattern, "spins.toml")


def test_the_hooks_of_the_readme_are_these_and_their_arguments_parse() -> None:
    block = README.read_text(encoding="utf-8").partition("```yaml\n")[2].partition("```")[0]
    (repository,) = yaml.safe_load(block)["repos"]
    entries = {hook["id"]: hook["entry"] for hook in _read(HOOKS)}
    assert [hook["id"] for hook in repository["hooks"]] == list(entries)
    for hook in repository["hooks"]:
        _parse([*shlex.split(entries[hook["id"]]), *hook.get("args", [])])
    comment = re.search(r"args: \[(.*)\]", HOOKS.read_text(encoding="utf-8"))
    assert comment is not None
    assert comment[1].split(", ") == repository["hooks"][2]["args"]
    assert f"        {comment[0]}\n" in GUIDE.read_text(encoding="utf-8")


def _diff_of_github() -> str:
    steps = _read(ROOT / "examples/ci/github-action.yml")["jobs"]["change"]["steps"]
    (command,) = (step["run"] for step in steps if "certpin diff" in step.get("run", ""))
    return str(command)


def _diff_of_gitlab() -> str:
    lines = _read(ROOT / "examples/ci/gitlab.yml")["pins"]["script"]
    return "\n".join(line for line in lines if "certpin lint" not in line)


def _git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=tests", "-c", "user.email=tests@example.org")
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True, timeout=60)


@pytest.fixture
def clone(tmp_path: Path, root: Authority) -> Path:
    """Return a Git clone of a repository with a pin file and its anchors.

    Its tests change only the anchors.
    """
    origin = tmp_path / "origin"
    origin.mkdir()
    write(policy("api.bank.example"), trust=Path("root.pem"), path=str(origin / "pins.toml"))
    (origin / "root.pem").write_bytes(root.pem)
    _git(origin, "init", "--quiet", "--initial-branch=main")
    _git(origin, "add", ".")
    _git(origin, "commit", "--quiet", "--message=pins")
    _git(tmp_path, "clone", "--quiet", str(origin), "clone")
    return tmp_path / "clone"


def _run(command: str, clone: Path) -> subprocess.CompletedProcess[str]:
    """Run the shell commands of one step of a CI job in a clone, as the CI platform does."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "BASE": "main",
        "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
        "RUNNER_TEMP": str(clone.parent),
    }
    return subprocess.run(
        ["bash", "-e", "-c", command],
        cwd=clone,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.medium
@pytest.mark.parametrize("diff", [_diff_of_github, _diff_of_gitlab])
def test_changed_trust_anchors_of_an_unchanged_pin_file_are_detected(
    clone: Path, diff: Callable[[], str]
) -> None:
    (clone / "root.pem").write_bytes(Authority("Another").pem)
    done = _run(diff(), clone)
    assert done.returncode == 1, done.stderr
    assert "root.pem has none of the anchors that were trusted for it" in done.stdout


@pytest.mark.parametrize("diff", [_diff_of_github, _diff_of_gitlab])
def test_the_first_pin_file_of_a_repository_needs_no_comparison(
    clone: Path, diff: Callable[[], str]
) -> None:
    origin = clone.parent / "origin"
    _git(origin, "rm", "--quiet", "pins.toml")
    _git(origin, "commit", "--quiet", "--message=none")
    _git(clone, "fetch", "--quiet")
    done = _run(diff(), clone)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_no_workflow_expression_is_inside_a_command() -> None:
    jobs = _read(ROOT / "examples/ci/github-action.yml")["jobs"]
    commands = [step.get("run", "") for job in jobs.values() for step in job["steps"]]
    assert any(commands)
    assert not [command for command in commands if "${{" in command]
