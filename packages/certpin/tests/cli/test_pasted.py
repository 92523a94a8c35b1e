"""A command that a terminal shows is the whole command when it is pasted into ``sh``."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest

from tests import kit
from tests.cli._pinfiles import write
from tests.cli._rotating import ship_long_ago
from tests.cli._terminal import on_terminal
from tests.cli.conftest import HOST

if TYPE_CHECKING:
    from tests.cli.conftest import Run

OTHER = "auth.bank.example"
KEY = "safe of the bank/backup of the bank, b.key"  # its command is longer than 80 columns
# Prints its arguments, each on a line, as JSON prints them.
PROGRAM = """#!/bin/sh
printf '%s\\n' "$@" '' >> words
"""
EMERGENCY = ("rotate", "emergency", str(kit.NOBODY), "--stolen", "--offline")

pytestmark = pytest.mark.medium


@pytest.fixture
def stolen(run: Run) -> Run:
    """Record that the key in use at two hosts is stolen. Return the function that runs commands."""
    write(kit.policy(HOST), kit.policy(OTHER))
    Path("safe of the bank").mkdir()
    Path(KEY).touch()
    pins = Path("pins.toml")
    note = f'pin = "{kit.NOBODY_ELSE}"\nnote = "key file {KEY}"\n'
    pins.write_text(pins.read_text().replace(f'pin = "{kit.NOBODY_ELSE}"\n', note))
    ship_long_ago(run)
    assert run(*EMERGENCY).code in {0, 1}
    return run


def pasted(text: str) -> list[list[str]]:
    """Paste each command of a terminal's output into ``sh``, and return the arguments of each.

    The lines that are indented more than the one with the command are pasted, too.
    """
    Path("bin").mkdir(exist_ok=True)
    program = Path("bin/certpin")
    program.write_text(PROGRAM)
    program.chmod(0o755)
    found = re.findall(r"^( *)(certpin .*(?:\n\1 +.*)*)", text, re.MULTILINE)
    Path("words").write_text("")
    env = {**os.environ, "PATH": f"{program.parent.resolve()}:{os.environ['PATH']}"}
    script = "\n".join(command for _, command in found) + "\n"
    subprocess.run(["sh"], input=script, text=True, env=env, check=True, timeout=60)
    return [each.splitlines() for each in Path("words").read_text().split("\n\n") if each]


def arguments(commands: list[str]) -> list[list[str]]:
    return [shlex.split(command)[1:] for command in commands]


def on_screen(*words: str, columns: int) -> str:
    _, out = on_terminal(*words, columns=columns)
    return click.unstyle(out)


@pytest.mark.parametrize("columns", [60, 80])
def test_the_path_of_an_emergency(stolen: Run, columns: int) -> None:
    facts: dict[str, Any] = json.loads(stolen(*EMERGENCY, "--json").out)
    steps = [step for host in facts["hosts"] for step in host["steps"]]
    found = arguments([command for step in steps for command in step["commands"]])
    assert max(len(shlex.join(words)) for words in found) > 100
    shown = pasted(on_screen(*EMERGENCY, columns=columns))
    assert shown
    assert [words for words in shown if words not in found] == []


@pytest.mark.parametrize("columns", [60, 80])
def test_the_next_step_of_status(stolen: Run, columns: int) -> None:
    words = ("rotate", "status", "--offline")
    facts = json.loads(stolen(*words, "--json").out)
    commands = [command for host in facts["hosts"] for command in host["next"]["commands"]]
    assert f"certpin rotate emergency {kit.NOBODY} --stolen" in commands
    assert pasted(on_screen(*words, columns=columns)) == arguments(commands)


@pytest.mark.parametrize("columns", [60, 80])
def test_the_steps_of_a_plan(stolen: Run, columns: int) -> None:
    words = ("rotate", "plan", "--to", str(kit.NOBODY_ELSE), "--host", HOST, "--offline")
    facts = json.loads(stolen(*words, "--json").out)
    commands = [each for step in facts["hosts"][0]["steps"] for each in step["commands"]]
    assert commands
    shown = pasted(on_screen(*words, columns=columns))
    assert [command for command in arguments(commands) if command not in shown] == []


@pytest.mark.parametrize("columns", [60, 80])
def test_the_fix_of_a_refusal(stolen: Run, columns: int) -> None:
    words = ("rotate", "switch", str(kit.NOBODY), "--host", HOST, "--offline")
    [command] = re.findall(r"certpin rotate [^;,]+", stolen(*words).err)
    assert arguments([command])[0] in pasted(on_screen(*words, columns=columns))
