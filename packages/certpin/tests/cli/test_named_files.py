"""The commands in the output name the pin file of this run, in each form of the output.

A user who pastes a command without it would change another pin file of the same folder.
"""

from __future__ import annotations

import json
import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from certpin.pins import HostPattern, HostPin, HostPolicy
from tests import kit
from tests.cli._pinfiles import write
from tests.cli.conftest import HOST

if TYPE_CHECKING:
    from tests.cli.conftest import Run

ENDS = datetime.now(UTC) + timedelta(days=400)
# Both keys are in use: lint advises `rotate start`, and the calendar `check` before the pins end.
IN_USE = HostPolicy(
    HostPattern.parse(HOST),
    (HostPin(kit.NOBODY, state="active"), HostPin(kit.NOBODY_ELSE, state="active")),
    expires=ENDS,
)
START = "certpin rotate start{} --new FILE"
CHECK = "(certpin check{})"

named = pytest.mark.parametrize(
    ("words", "env", "option"),
    [
        (["live.toml"], {}, " --file live.toml"),
        (["--file", "live.toml"], {}, " --file live.toml"),
        (["-f", "./live.toml"], {}, " --file live.toml"),
        ([], {"CERTPIN_PINS": "live.toml"}, " --file live.toml"),
        (["--file", "pins.toml"], {"CERTPIN_PINS": "live.toml"}, " --file pins.toml"),
        (["pins.toml"], {"CERTPIN_PINS": "live.toml"}, " --file pins.toml"),
        (["pins.toml"], {}, ""),
        ([], {}, ""),
        ([], {"CERTPIN_PINS": "pins.toml"}, ""),
    ],
)


@pytest.fixture(autouse=True)
def _files(run: Run) -> None:
    assert run is not None  # it changes to an empty folder
    for path in ("pins.toml", "live.toml"):
        write(IN_USE, path=path)


@named
def test_the_fixes_of_lint_name_the_pin_file(
    run: Run, words: list[str], env: dict[str, str], option: str
) -> None:
    start = START.format(option)
    assert start in run("lint", *words, **env).out
    for form in ("github", "sarif"):
        assert start in run("lint", *words, "--format", form, **env).out
    found = run("lint", *words, "--json", **env).json["findings"]
    assert [start in finding["fix"] for finding in found] == [True]


@pytest.mark.parametrize("form", ["text", "json", "github", "sarif"])
def test_the_fixes_of_lint_name_the_file_of_each_finding(run: Run, form: str) -> None:
    write(IN_USE, path="a b.toml")
    out = run("lint", "live.toml", "pins.toml", "a b.toml", "--format", form).out
    out = out.partition('"results"')[2] if form == "sarif" else out  # not the rules before them
    for option in (" --file live.toml", "", " --file 'a b.toml'"):
        assert out.count(START.format(option)) == 1


def test_an_error_of_lint_names_the_file(run: Run) -> None:
    done = run("lint", "pins.toml", "missing.toml")
    assert "certpin add --file missing.toml HOST" in done.err


@named
def test_the_fixes_of_the_calendar_name_the_pin_file(
    run: Run, words: list[str], env: dict[str, str], option: str
) -> None:
    check = CHECK.format(option)
    assert check in run("calendar", "--offline", *words, **env).out
    events = run("calendar", "--offline", *words, "--json", **env).json["events"]
    assert [check in event["fix"] for event in events if event["kind"] == "pins"] == [True]


@named
def test_an_error_names_the_missing_pin_file(
    run: Run, words: list[str], env: dict[str, str], option: str
) -> None:
    for path in ("pins.toml", "live.toml"):
        Path(path).unlink()
    for command in ("check", "calendar", "lint"):
        assert f"certpin add{option} HOST" in run(command, *words, **env).err
        done = run(command, *words, "--json", **env)
        assert f"certpin add{option} HOST" in done.error["fix"]


def test_doctor_names_the_pin_file(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("certpin.cli.doctor.packages.find_packages", lambda: None)
    Path("bad.toml").write_text("schema = 1\nname = 3\n", encoding="utf-8")
    for path, said in (
        ("live.toml", "certpin check --file live.toml compares its servers"),
        ("missing.toml", "certpin add --file missing.toml HOST makes one"),
        ("bad.toml", "certpin lint --file bad.toml"),
    ):
        words = ("doctor", "--offline", "--file", path)
        assert said in run(*words).out
        (found,) = [each for each in run(*words, "--json").json["checks"] if path in each["text"]]
        assert said in json.dumps(found)
    assert run(*shlex.split(said)[1:]).code == 1


def test_a_printed_signature_names_the_pin_file_once(run: Run) -> None:
    words = ("--root-key", "r.key", "--targets-key", "t.key", "--online-key", "o.key")
    done = run("publish", "init", *words, "--file", "live.toml")
    assert done.code == 0, done.err
    env = {"CERTPIN_PINS": "other.toml"}
    for path in ("live.toml", "pins.toml"):
        status = run("rotate", "status", "--offline", "--file", path, "--json", **env)
        for command in status.json["hosts"][0]["next"]["commands"]:
            assert command.count(f"--file {path}") == 1
