"""``--json``: every command prints one object, or one on each line, also for errors.

Each object begins with the same fields.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest

from tests import kit
from tests.cli import _documented
from tests.cli._pinfiles import write
from tests.cli._registry import COMMANDS, GROUPS
from tests.cli.conftest import Run, program

if TYPE_CHECKING:
    from tests.servers.nginx import Nginx

# Arguments that keep a command without required ones from running for long.
_SHORT: dict[tuple[str, ...], tuple[str, ...]] = {
    ("serve",): ("--config", "missing.toml"),
    ("demo",): ("--watch",),
}
_NAMES = [" ".join(path) for path in COMMANDS]


def _objects(out: str) -> list[Any]:
    """Return the JSON objects in a command's output, which has one, or one on each line."""
    try:
        return [json.loads(out)]
    except ValueError:
        return [json.loads(line) for line in out.splitlines()]


@pytest.mark.parametrize("path", COMMANDS, ids=_NAMES)
def test_every_command_has_json(path: tuple[str, ...]) -> None:
    options = [param for param in COMMANDS[path].params if isinstance(param, click.Option)]
    assert [option.name for option in options if "--json" in option.opts] == ["as_json"]


@pytest.mark.medium
@pytest.mark.parametrize("path", COMMANDS, ids=_NAMES)
def test_every_command_prints_only_json(run: Run, path: tuple[str, ...]) -> None:
    done = run(*path, *_SHORT.get(path, ()), "--json")
    *_, last = _objects(done.out)
    assert (last["schema"], last["command"], last["exit_code"]) == (1, " ".join(path), done.code)
    if done.code not in {0, 1}:
        assert done.error["message"]
        assert done.err == ""


@pytest.mark.parametrize("path", COMMANDS, ids=_NAMES)
def test_an_unknown_option_is_an_error_in_json(run: Run, path: tuple[str, ...]) -> None:
    done = run(*path, "--no-such-option", "--json")
    assert (done.code, done.err, done.json) == (2, "", {})
    assert done.error["type"] == "UsageError"
    assert "--no-such-option" in done.error["message"]
    assert done.error["fix"].endswith(f"{' '.join(path)} --help")


@pytest.mark.parametrize("option", [("--format", "json"), ("--format=json",)], ids=len)
@pytest.mark.parametrize(
    "words",
    [
        pytest.param(("lint",), id="lint"),
        # tree-sitter has no wheels for a newer one
        pytest.param(("import", "dart"), id="import dart", marks=pytest.mark.until_python("3.14")),
    ],
)
def test_an_error_is_json_with_the_format_json_too(
    run: Run, words: tuple[str, ...], option: tuple[str, ...]
) -> None:
    done = run(*words, "missing", *option)
    assert (done.code, done.err) == (2, "")
    assert "missing" in done.error["message"] + str(done.error["file"])
    unknown = run(*words, *option, "--no-such-option")
    assert (unknown.code, unknown.err, unknown.error["type"]) == (2, "", "UsageError")
    text = run(*words, "missing", "--format", "text")
    assert (text.code, text.out.startswith("{"), "missing" in text.err) == (2, False, True)


@pytest.mark.parametrize("path", GROUPS, ids=" ".join)
def test_an_unknown_command_is_an_error_in_json(run: Run, path: tuple[str, ...]) -> None:
    done = run(*path, "no-such-command", "--json")
    assert (done.code, done.err, done.json) == (2, "", {})
    assert "no-such-command" in done.error["message"]


@pytest.mark.parametrize("path", COMMANDS, ids=_NAMES)
def test_help_stays_text(run: Run, path: tuple[str, ...]) -> None:
    done = run(*path, "--json", "--help")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("Usage: ")
    assert '"schema"' not in done.out


def test_an_error_has_its_location_and_its_fix(run: Run) -> None:
    Path("pins.toml").write_text("schema = 1\nname = 3\n")
    done = run("check", "--json")
    assert (done.code, done.err) == (2, "")
    assert (done.error["type"], done.error["file"], done.error["line"]) == (
        "PinFileError",
        "pins.toml",
        2,
    )


def test_a_server_that_does_not_answer_is_an_error_in_json(run: Run) -> None:
    done = run("pin", "127.0.0.1:1", "--json")
    assert (done.code, done.err) == (3, "")
    assert (done.error["type"], done.error["host"], done.error["port"]) == (
        "DialError",
        "127.0.0.1",
        1,
    )


@pytest.mark.peer("nginx")
def test_a_refused_connection_is_an_error_in_json(run: Run, bank: Nginx, ca: Path) -> None:
    write(kit.policy("localhost"), trust=ca)
    done = run("get", f"https://localhost:{bank.port}/", "--json")
    assert (done.code, done.err) == (1, "")
    assert (done.error["type"], done.error["host"]) == ("PinMismatchError", "localhost")


def test_an_argument_after_two_dashes_does_not_select_json(run: Run) -> None:
    done = run("prove", "--host", "***", "--", "client", "--json")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("certpin: ")


def test_the_lines_of_a_scan_are_followed_by_the_counts(run: Run) -> None:
    Path("hosts").write_text("???\n")
    done = run("scan", "hosts", "--json")
    record, last = map(json.loads, done.out.splitlines())
    _documented.check("scanned host", record)
    assert done.code == last["exit_code"] == 3
    _documented.check("scan", _documented.data_of(last))


@pytest.mark.medium
def test_ctrl_c_is_an_error_in_json() -> None:
    code = (
        "from certpin.cli import explain, main\n"
        "import certpin.lint as lint\n"
        "class Stop(dict):\n"
        "    def keys(self):\n"
        "        raise KeyboardInterrupt\n"
        "    values = keys\n"
        "lint.RULES = Stop()\n"
        "main.cli(['explain', '--json'])\n"
    )
    process = program(start=("-c", code))
    out, err = process.communicate(timeout=60)
    said = json.loads(out)
    assert (process.returncode, said["exit_code"], err) == (130, 130, "")
    assert (said["command"], said["error"]["type"]) == ("explain", "Abort")
