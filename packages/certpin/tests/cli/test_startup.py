"""The modules that a run imports: help and version import no library module (decision 43)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import fields
from typing import TYPE_CHECKING, get_args

import click
import pytest

from certpin.cli import choices
from certpin.cli.findings import FORMATS
from certpin.cli.main import EXTENSIONS
from certpin.lab import Authority
from certpin.lab.client import PATIENCE as CLIENT_PATIENCE
from certpin.lab.pki import Style
from certpin.lab.scenario import STALL_SECONDS
from certpin.lab.server.protocols import PROTOCOLS as LAB_PROTOCOLS
from certpin.lint import SEVERITIES
from certpin.lint.document import ADOPTION_DAYS
from certpin.pinfile import PINS_VARIABLE
from certpin.pins import Match, Mode
from certpin.probe import DIAL_TIMEOUT, PROTOCOLS
from certpin.rotation import AdoptionDelays, format_duration
from certpin.rotation.fleet import MAX_CLIENTS, Fleet
from certpin.rotation.measured import CYCLE
from certpin.x509.keys import KeyAlgorithm
from tests.cli._registry import COMMANDS, GROUPS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# Slow modules of the standard library, and the packages that certpin needs beside click.
_SLOW = {"asyncio", "cryptography", "email", "http", "idna", "rich", "socket", "ssl", "tomli"}
_SLOW |= {"tomlkit", "urllib.request"}
_LIGHT = {"certpin", "certpin._version", "certpin.cli", "certpin_watch", "certpin_watch.cli"}

# Runs each command line in another child, and prints the modules that it has loaded.
_PROGRAM = """
import json, os, sys
import click
from certpin.cli.main import cli
sys.stdout.flush()
found = []
for words in json.loads(sys.argv[1]):
    reading, writing = os.pipe()
    if os.fork() == 0:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        try:
            cli(words)
        except SystemExit as exc:
            with os.fdopen(writing, "w") as pipe:
                json.dump([exc.code, list(sys.modules)], pipe)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        found.append(json.load(pipe))
    os.wait()
print(json.dumps(found))
"""


def _modules(command_lines: Sequence[Sequence[str]]) -> list[set[str]]:
    """Return the names of the modules that each command line imports.

    Each command line must end with exit code 0.
    """
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, json.dumps(command_lines)],
        # Coverage would load its modules into the program.
        env={name: value for name, value in os.environ.items() if not name.startswith("COV")},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert [code for code, _ in found] == [0] * len(command_lines)
    return [set(modules) for _, modules in found]


# importlib.metadata reads the entry points of an extension's commands as messages.
_ENTRY_POINTS = {"email", "socket"}


def _heavy(modules: set[str]) -> set[str]:
    ours = {name for name in modules if name.partition(".")[0] in {"certpin", "certpin_watch"}}
    commands = ("certpin.cli.", "certpin_watch.cli.")
    wrong = {name for name in ours - _LIGHT if not name.startswith(commands)}
    return wrong | {name for name in _SLOW if name in modules}


@pytest.mark.medium
def test_help_and_version_load_nothing_of_the_library() -> None:
    lines = [
        ["--version"],
        ["-V"],
        ["help"],
        *([*group, "--help"] for group in (*GROUPS, *COMMANDS)),
    ]
    heavy = {
        " ".join(line): _heavy(modules) - (_ENTRY_POINTS if line[0] in EXTENSIONS else set())
        for line, modules in zip(lines, _modules(lines), strict=True)
    }
    assert {line: wrong for line, wrong in heavy.items() if wrong} == {}


@pytest.mark.parametrize("path", [path for path in GROUPS if len(path) < 2], ids=" ".join)
def test_the_list_of_a_group_has_the_first_line_of_each_command(path: tuple[str, ...]) -> None:
    group = GROUPS[path]
    assert not group.commands  # they are imported when they are called
    context = click.Context(group)
    parts = {name: group.get_command(context, name) for name in group.list_commands(context)}
    first = {name: (part.help or "").splitlines()[0] for name, part in parts.items() if part}
    assert group.summaries() == first  # type: ignore[attr-defined]


@pytest.mark.medium
@pytest.mark.parametrize(
    ("words", "unneeded"),
    [
        (["explain", "no-backup"], {"asyncio", "certpin.formats", "certpin.lab", "cryptography"}),
        (["export", "--list"], {"asyncio", "certpin.lab", "certpin_watch", "tomlkit"}),
        (["lab", "attacks"], {"certpin.formats", "certpin.updates", "certpin_watch", "tomlkit"}),
    ],
)
def test_a_run_loads_only_the_modules_that_it_needs(words: list[str], unneeded: set[str]) -> None:
    (modules,) = _modules([words])
    assert modules & unneeded == set()


@pytest.mark.medium
def test_a_certificate_in_a_file_loads_no_probe_module(tmp_path: Path) -> None:
    file = tmp_path / "root.pem"
    file.write_bytes(Authority("Root").pem)
    (modules,) = _modules([["pin", str(file)]])
    assert not {name for name in modules if name.startswith("certpin.probe")}


def test_the_values_in_help_texts_are_those_of_the_library() -> None:
    assert choices.PINS_VARIABLE == PINS_VARIABLE
    assert get_args(Mode) == choices.MODES
    assert get_args(Match) == choices.MATCHES
    assert get_args(KeyAlgorithm) == choices.KEY_ALGORITHMS
    assert choices.PROBE_SECONDS == DIAL_TIMEOUT
    assert tuple(sorted(PROTOCOLS)) == choices.STARTTLS, "fix: STARTTLS of cli/choices.py"
    assert tuple(FORMATS) == choices.LINT_FORMATS
    assert choices.SEVERITIES == SEVERITIES
    assert choices.ADOPTION_DAYS == ADOPTION_DAYS
    assert tuple(known.value for known in Style) == choices.STYLES
    protocols = tuple(sorted(LAB_PROTOCOLS))
    assert protocols == choices.LAB_PROTOCOLS, "fix: LAB_PROTOCOLS of cli/choices.py"
    assert choices.CLIENT_SECONDS == CLIENT_PATIENCE
    assert choices.STALL_SECONDS == STALL_SECONDS
    assert choices.CYCLE_DAYS == CYCLE
    assert choices.MAX_CLIENTS == MAX_CLIENTS
    usual = Fleet()
    assert usual.clients == choices.USUAL_CLIENTS
    assert f"{float(usual.stragglers * 100):g}%" == choices.USUAL_STRAGGLERS
    delays = {field.name: getattr(AdoptionDelays(), field.name) for field in fields(AdoptionDelays)}
    assert {name: format_duration(delay) for name, delay in delays.items()} == choices.DELAYS
