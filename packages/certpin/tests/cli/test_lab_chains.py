"""``certpin prove --case-file``, ``certpin lab import`` and ``certpin lab export``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from certpin.cli.prove_result import print_run
from certpin.lab import client, load_cases
from certpin.lab.verdict import Outcome, Verdict
from tests.cli import _documented
from tests.lab.own._own import GOOD, HOST, OTHER_ROOT, limbo, toml, write_files
from tests.lab.report import _runs

if TYPE_CHECKING:
    from tests.cli.conftest import Run

# A client of the standard library, as in the guide.
_CLIENT = """
import os, urllib.request
urllib.request.urlopen(os.environ["CERTPIN_LAB_URL"], timeout=10).read()
"""
COMMAND = ("--style", "none", "--", sys.executable, "-c", _CLIENT, "{url}")


@pytest.fixture(autouse=True)
def _files(run: Run) -> None:
    """Write a user's certificates and a case file with two cases into the current folder."""
    write_files(Path())
    Path("other.pem").write_bytes(OTHER_ROOT.pem)
    bad = GOOD | {"name": '"untrusted"', "anchors": '"other.pem"', "expect": '"refuse"'}
    Path("cases.toml").write_text(toml(GOOD, bad), encoding="utf-8")


@pytest.mark.slow
def test_a_client_is_proven_with_the_cases_of_the_file(run: Run) -> None:
    done = run("prove", "--json", "--case-file", "cases.toml", *COMMAND)
    assert done.code == 0, done.out
    results = {each["case"]: (each["verdict"], each["family"]) for each in done.json["results"]}
    assert results == {
        "control-good": ("ACCEPT", "Control"),
        "mine": ("ACCEPT", "Your own chains"),
        "untrusted": ("REJECT", "Your own chains"),
    }


@pytest.mark.slow
def test_a_wrong_verdict_is_a_finding_in_every_report(run: Run) -> None:
    Path("cases.toml").write_text(toml(GOOD | {"expect": '"refuse"'}), encoding="utf-8")
    reports = ("--html", "run.html", "--junit", "run.xml", "--sarif", "run.sarif")
    done = run("prove", *reports, "--case-file", "cases.toml", *COMMAND)
    assert done.code == 1
    assert "mine" in done.out
    assert "1 of 1 attack got through" in done.out
    for name in reports[1::2]:
        assert "mine" in Path(name).read_text("utf-8")


@pytest.mark.slow
@pytest.mark.peer("curl")
def test_chains_without_an_expected_verdict_are_only_reported(run: Run) -> None:
    """A case file of ``--fuzz --save`` often has only such chains."""
    chains = [GOOD | {"name": f'"fuzz-{number}"', "expect": '"report"'} for number in range(3)]
    Path("cases.toml").write_text(toml(*chains), encoding="utf-8")
    curl = ("--style", "none", "--", "curl", "-sS", "{url}")
    done = run("prove", "--case-file", "cases.toml", "--html", "run.html", *curl)
    assert done.code == 0
    says, what_to_do, *_ = done.out.splitlines()
    assert says == "3 cases were only reported: none has an expected verdict."
    assert what_to_do.startswith("Compare the reactions with your policy: no reaction fails")
    assert what_to_do.endswith('write expect = "accept" or "refuse" into the case file.')
    assert "fuzz-0, fuzz-1, fuzz-2: accepted" in done.out
    assert "No attack was run" not in done.out
    page = Path("run.html").read_text("utf-8")
    assert 'class="verdict unproven"' in page
    assert 'class="verdict sound"' not in page


@pytest.mark.parametrize(
    ("outcome", "colour"), [(Outcome.TOLD, "33"), (Outcome.RIGHT, "32"), (Outcome.WRONG, "31")]
)
def test_only_a_proven_client_is_green(
    outcome: Outcome, colour: str, capsys: pytest.CaptureFixture[str]
) -> None:
    reported = _runs.run((_runs.judged(_runs.BY_NAME["untrusted-ca"], outcome, Verdict.ACCEPT),))
    with click.Context(click.Command("prove"), color=True).scope():
        print_run(reported, quiet=True)
    assert capsys.readouterr().out.startswith(f"\x1b[{colour}m")


@pytest.mark.slow
def test_a_case_of_the_file_can_be_chosen(run: Run) -> None:
    words = ("--case-file", "cases.toml", "--case", "untrusted")
    for order in (words, words[2:] + words[:2]):
        results = run("prove", "--json", *order, *COMMAND).json["results"]
        assert [each["case"] for each in results][1:-1] == ["untrusted"]


def test_a_case_that_is_not_in_the_file_is_refused(run: Run) -> None:
    done = run("prove", "--case-file", "cases.toml", "--case", "expired", *COMMAND)
    assert done.code == 2
    assert "cases.toml lists them" in done.err


def test_a_wrong_file_is_refused_with_its_line(run: Run) -> None:
    Path("cases.toml").write_text(toml(GOOD | {"host": '"a..b"'}), encoding="utf-8")
    done = run("prove", "--json", "--case-file", "cases.toml", *COMMAND)
    assert done.code == 2
    assert (done.error["type"], done.error["file"]) == ("CaseFileError", "cases.toml")
    assert (done.error["line"], done.error["key"]) == (4, "case[0].host")


@pytest.mark.slow
def test_without_libfaketime_a_case_with_a_time_is_inconclusive(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_FOLDERS", ("/nowhere",))
    old = GOOD | {"time": "2020-01-01T00:00:00Z"}
    today = GOOD | {"name": '"today"'}
    Path("cases.toml").write_text(toml(old, today), encoding="utf-8")
    done = run("prove", "--json", "--case-file", "cases.toml", *COMMAND)
    assert done.code == 3
    assert "apt-get install libfaketime" in done.json["results"][1]["why"]
    assert done.json["results"][2]["outcome"] == "right"
    Path("cases.toml").write_text(toml(old | {"expect": '"report"'}, today), encoding="utf-8")
    assert run("prove", "--json", "--case-file", "cases.toml", *COMMAND).code == 0


@pytest.mark.parametrize("option", [("--pins", "cases.toml"), ("--upstream", "127.0.0.1:1")])
def test_a_real_server_has_no_case_file(run: Run, option: tuple[str, str]) -> None:
    done = run("prove", "--case-file", "cases.toml", *option, *COMMAND)
    assert done.code == 2
    assert "--case-file replaces the real server" in done.err


def test_limbo_becomes_a_case_file(run: Run) -> None:
    limbo(Path("limbo.json"), {}, {"id": "own::client", "validation_kind": "CLIENT"})
    done = run("lab", "import", "limbo", "limbo.json", "--out", "chains")
    assert (done.code, done.err) == (0, "")
    assert "left out: own::client: it is for the certificate of a client" in done.out
    assert "1 case in chains/cases.toml: 1 to accept, 0 to refuse, 0 reported only" in done.out
    assert [case.host("") for case in load_cases("chains/cases.toml")] == [HOST]


def test_the_json_of_an_import_is_as_documented(run: Run) -> None:
    limbo(Path("limbo.json"), {}, {"id": "own::client", "validation_kind": "CLIENT"})
    imported = run("lab", "import", "limbo", "limbo.json", "--out", "chains", "--json").json
    _documented.check("imported suite", imported)
    assert imported["cases"] == ["own.good"]
    assert [each["name"] for each in imported["left_out"]] == ["own::client"]


def test_a_suite_that_cannot_be_served_is_inconclusive(run: Run) -> None:
    limbo(Path("limbo.json"), {"validation_kind": "CLIENT"})
    done = run("lab", "import", "limbo", "limbo.json", "--out", "chains")
    assert done.code == 3
    assert "No case can be served." in done.out
    assert not Path("chains").exists()
    assert run("lab", "import", "limbo", "limbo.json", "--out", "chains", "--json").code == 3


def test_other_files_and_folders_are_refused(run: Run) -> None:
    assert run("lab", "import", "limbo", "cases.toml", "--out", "chains").code == 2
    assert run("lab", "import", "bettertls", "x.json", "--out", "chains").code == 2
    limbo(Path("limbo.json"), {})
    done = run("lab", "import", "limbo", "limbo.json", "--out", ".")
    assert (done.code, "has files" in done.err) == (2, True)
    assert run("lab", "export", ".").code == 2


@pytest.mark.slow
def test_the_chains_of_the_matrix_are_written(run: Run) -> None:
    done = run("lab", "export", "chains", "--host", "API.shop.example.")
    assert (done.code, done.err) == (0, "")
    index = json.loads(Path("chains/index.json").read_text("utf-8"))
    assert index["cases"][0]["host"] == "api.shop.example"
    assert f"{len(index['cases'])} cases in chains/index.json" in done.out
    assert "left out: pool-reuse: it needs several connections" in done.out


@pytest.mark.slow
def test_the_json_of_an_export_is_as_documented(run: Run) -> None:
    exported = run("lab", "export", "chains", "--json").json
    _documented.check("exported matrix", exported)
    index = json.loads(Path("chains/index.json").read_text("utf-8"))
    _documented.check("matrix index", index)
    assert exported["cases"] == [case["name"] for case in index["cases"]]
