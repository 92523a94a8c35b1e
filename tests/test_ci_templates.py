"""The templates for CI: well-formed, and every certpin that they call is one that there is."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest
import yaml

from certpin.cli.main import cli

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
HOOKS = ROOT / ".pre-commit-hooks.yaml"
README = ROOT / "examples/ci/README.md"
TEMPLATES = sorted((ROOT / "examples/ci").glob("*.yml"))


def _read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _texts(value: Any) -> Iterator[str]:
    """Every string of a document, wherever it stands."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for each in value.values() for text in _texts(each))
    elif isinstance(value, list):
        yield from (text for each in value for text in _texts(each))


def _calls(value: Any) -> list[list[str]]:
    """The words of each call of certpin, its pipes and redirections left out."""
    commands = (re.split(r"[|;&>]+", line) for text in _texts(value) for line in text.splitlines())
    pieces = [piece.strip() for command in commands for piece in command]
    return [shlex.split(piece) for piece in pieces if re.match(r"certpin [a-z]+( |$)", piece)]


def _parse(words: list[str]) -> None:
    """Let click read a call. Raises ``click.UsageError``."""
    _, name, *others = words
    context = click.Context(cli)
    command = cli.get_command(context, name)
    if command is None:
        raise click.UsageError(f"there is no command {name}")
    command.make_context(name, list(others), parent=context)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_every_call_of_certpin_parses(path: Path) -> None:
    calls = _calls(_read(path))
    assert len(calls) >= 2
    for words in calls:
        _parse(words)


@pytest.mark.parametrize(
    "line", ["certpin lnt", "certpin lint --fail-of warning", "certpin diff a"]
)
def test_a_call_that_does_not_parse_is_seen(line: str) -> None:
    (words,) = _calls({"script": [f"true | {line} > x"]})
    with pytest.raises(click.UsageError):
        _parse(words)


def test_the_hooks_are_what_pre_commit_asks_for() -> None:
    hooks = {hook["id"]: hook for hook in _read(HOOKS)}
    assert list(hooks) == ["certpin-lint", "certpin-export-check"]
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
    assert comment[1].split(", ") == repository["hooks"][1]["args"]


def test_no_expression_of_a_workflow_stands_inside_a_command() -> None:
    jobs = _read(ROOT / "examples/ci/github-action.yml")["jobs"]
    commands = [step.get("run", "") for job in jobs.values() for step in job["steps"]]
    assert any(commands)
    assert not [command for command in commands if "${{" in command]
