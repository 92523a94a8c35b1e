"""``certpin prove --fuzz``: output, exit codes and case file, with clients that use certpin."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from certpin.lab import load_cases
from tests.cli import _documented

if TYPE_CHECKING:
    from tests.cli.conftest import Run

# A client of the standard library. The careless one sets OpenSSL's X509_V_FLAG_NO_CHECK_TIME.
_CLIENT = """
import os, ssl, urllib.request
context = ssl.create_default_context()
context.verify_flags |= {flag}
urllib.request.urlopen(os.environ["CERTPIN_LAB_URL"], timeout=10, context=context).read()
"""
REFUSING = ("--", sys.executable, "-c", "raise SystemExit(1)", "{url}")


def client(flag: int = 0) -> tuple[str, ...]:
    return ("--style", "none", "--", sys.executable, "-c", _CLIENT.format(flag=flag), "{url}")


@pytest.fixture(autouse=True)
def _without_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty PATH, so that no test builds the lab's helper program in Go, which is slow."""
    monkeypatch.setenv("PATH", "")


@pytest.mark.medium
def test_certpin_itself_is_compared_without_a_command(run: Run) -> None:
    done = run("prove", "--fuzz", "9")
    assert (done.code, done.err) == (0, "")
    assert "9 chains of seed 1: the client accepted none that all others refuse." in done.out
    assert "Not compared with go: no program go in PATH." in done.out
    assert "Write the minimal chains as a case file" in done.out
    assert "Each of them" not in done.out
    assert "fuzz-" in run("prove", "--fuzz", "9", "--verbose").out
    assert run("prove", "--fuzz", "9", "--quiet").out.count("\n") == 1
    assert run("prove", "--fuzz", "9", "--json").json == run("prove", "--fuzz", "9", "--json").json


@pytest.mark.medium
def test_the_json_of_a_comparison_is_as_documented(run: Run) -> None:
    data = run("prove", "--fuzz", "9", "--seed", "7", "--save", "found", "--json").json
    _documented.check("comparison", data)
    assert (data["seed"], data["chains"], data["file"]) == (7, 9, "found/cases.toml")
    names = [each["name"] for each in data["classes"]]
    assert [case.name for case in load_cases("found/cases.toml")] == names


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_careless_client_is_found_and_its_case_file_repeats_the_finding(run: Run) -> None:
    words = ("--fuzz", "2", "--seed", "62", "--save", "found")
    done = run("prove", *words, *client(0x200000))
    assert done.code == 1, done.out
    assert "the client accepted 1 that all others refuse" in done.out
    assert "chain policies; certificate 0: not_after set generalized-past" in done.out
    assert "certpin: certificate has expired" in done.out
    case = next(case for case in load_cases("found/cases.toml") if "not_after" in case.presents)
    repeated = ("--case-file", "found/cases.toml", "--case", case.name)
    assert run("prove", *repeated, *client(0x200000)).code == 1
    assert run("prove", *repeated, *client()).code == 0


@pytest.mark.medium
def test_a_client_that_refuses_every_chain_is_inconclusive(run: Run) -> None:
    done = run("prove", "--fuzz", "5", *REFUSING)
    assert done.code == 3
    assert "the client refused every chain that is not mutated" in done.out


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ((), "Missing argument 'COMMAND...'"),
        (("--seed", "2", "--", "true"), "--seed needs --fuzz N"),
        (("--save", "found", "--", "true"), "--save needs --fuzz N"),
        (("--fuzz", "9", "--case", "rogue-ca-in-store"), "leave out --case"),
        (("--fuzz", "9", "--html", "run.html"), "leave out --html"),
        (("--fuzz", "9", "--repeat", "2"), "leave out --repeat"),
        (("--fuzz", "9", "--via", "all", "--", "true", "{port}"), "choose one way"),
        (("--fuzz", "9", "--host", "127.0.0.1"), "need a domain"),
    ],
)
def test_options_that_do_not_go_together(run: Run, words: tuple[str, ...], problem: str) -> None:
    done = run("prove", *words)
    assert done.code == 2
    assert problem in done.err


def test_a_folder_with_files_is_refused_before_the_run(run: Run) -> None:
    Path("found").mkdir()
    Path("found/old").touch()
    done = run("prove", "--fuzz", "1000000", "--save", "found")
    assert done.code == 2
    assert "found has files" in done.err
