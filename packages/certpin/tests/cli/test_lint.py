"""``certpin lint``: its findings in each format, and its exit codes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from certpin.cli.lint import gather_exports
from certpin.lint import RULES
from tests import _sarif
from tests.cli import _documented
from tests.cli._terminal import on_terminal
from tests.pinfile._files import HEAD, HOST, ONE, PINS, WHOLE

if TYPE_CHECKING:
    from tests.cli.conftest import Done, Run

EXPIRES = "expires = 2999-01-01  # certpin: allow expires-too-late because it is a test\n"
GOOD = HEAD + HOST + EXPIRES + PINS
WARNED = GOOD + f'\n[[host.pin]]\npin = "{WHOLE}"\nrole = "backup"\n'
UNKNOWN = GOOD + "owner = 1\n"
LONE = f'{HEAD}{HOST}{EXPIRES}\n[[host.pin]]\npin = "{ONE}"\n'
HOSTILE = (
    f'{HEAD}\n[[host]]\nname = "a\\u001b[31m\\r\\n::error::{{0}} [a](b) 100%,:"\n{EXPIRES}{PINS}'
    '"x\\n::error file=a::b" = 1\n'
)


def _lint(run: Run, text: str, *words: str) -> Done:
    Path("pins.toml").write_text(text, encoding="utf-8")
    return run("lint", *words)


@pytest.mark.parametrize(
    ("text", "words", "code"),
    [
        (GOOD, (), 0),
        (GOOD, ("--fail-on", "note"), 0),
        (WARNED, (), 0),
        (WARNED, ("--fail-on", "warning"), 1),
        (WARNED, ("--fail-on", "note"), 1),
        (UNKNOWN, (), 1),
        (GOOD + 'mod = "report"\n', (), 1),
        (HEAD + HOST + PINS, ("--fail-on", "warning"), 0),
        (HEAD + HOST + PINS, ("--fail-on", "note"), 1),
        (LONE, (), 1),
        (LONE, ("--fail-on", "note"), 1),
        ("name = ", (), 2),
        (GOOD, ("--exported", "no-such-format=x"), 2),
        (GOOD, ("--exported", "x"), 2),
        (GOOD, ("--adoption-days", "-1"), 2),
        (GOOD, ("--host", "api.bank.example"), 2),
        (GOOD, ("--format", "xml"), 2),
    ],
)
@pytest.mark.parametrize("output", ["text", "json", "sarif", "github"])
def test_the_exit_code_depends_on_the_severity(
    text: str, words: tuple[str, ...], code: int, output: str, run: Run
) -> None:
    assert _lint(run, text, "--format", output, *words).code == code


def test_the_text_has_host_line_severity_rule_and_fix(run: Run) -> None:
    lines = _lint(run, LONE).out.splitlines()
    assert lines == [
        "pins.toml: api.bank.example",
        "     9  error    no-backup: api.bank.example has only one pin, and no backup",
        f"        fix: {RULES['no-backup'].fix}",
        "1 error, 0 warnings, 0 notes, 1 allowed in pins.toml",
        "",
        "Why is that a mistake? certpin explain no-backup",
    ]


def test_findings_are_grouped_by_host_and_the_worst_is_named(run: Run) -> None:
    second = HOST.replace("api.", "www.") + PINS
    out = _lint(run, f"{HEAD}{HOST}{PINS}owner = 1\n{second}\n[debug]\nx = 1\n").out
    heads = [line for line in out.splitlines() if line.startswith("pins.toml: ")]
    assert heads == [
        "pins.toml: api.bank.example",
        "pins.toml: www.bank.example",
        "pins.toml: the file",
    ]
    assert out.endswith("certpin explain unknown-key\n")


def test_the_json_is_as_documented(run: Run) -> None:
    read = _lint(run, LONE, "--json").json
    _documented.check("lint", read)
    (file,) = read["files"]
    (found,) = read["findings"]
    (allowed,) = read["allowed"]
    assert (file["pin_set"], file["errors"], file["asked"]) == (None, 1, None)
    assert (found["rule"], found["line"], found["host"]) == ("no-backup", 9, "api.bank.example")
    assert (allowed["rule"], allowed["allowed"]) == ("expires-too-late", "it is a test")
    assert _lint(run, LONE, "--format", "json").json == read


def test_each_file_is_linted_separately(run: Run) -> None:
    Path("other.toml").write_text(LONE)
    done = _lint(run, GOOD, "pins.toml", "other.toml", "--json")
    assert done.code == 1
    assert [file["file"] for file in done.json["files"]] == ["pins.toml", "other.toml"]
    assert [finding["file"] for finding in done.json["findings"]] == ["other.toml"]


def _lint_with_unreadable(run: Run, *words: str) -> Done:
    Path("conf.toml").write_text("schema = 1\n<<<<<<< HEAD\n", encoding="utf-8")
    return _lint(run, LONE, "no.toml", "conf.toml", "pins.toml", *words)


def test_a_file_that_cannot_be_read_hides_no_finding_of_the_others(run: Run) -> None:
    done = _lint_with_unreadable(run, "--json")
    assert done.code == 2
    _documented.check("lint", done.json)
    found = [(each["file"], each["line"], each["rule"]) for each in done.json["findings"]]
    assert found[:2] == [("no.toml", 1, "refused"), ("conf.toml", 2, "refused")]
    assert found[2:] == [("pins.toml", 9, "no-backup")]
    assert [each["errors"] for each in done.json["files"]] == [1, 1, 1]
    assert done.error["file"] == "no.toml"


@pytest.mark.parametrize("output", ["text", "sarif", "github"])
def test_each_format_has_the_files_that_cannot_be_read(run: Run, output: str) -> None:
    done = _lint_with_unreadable(run, "--format", output)
    assert (done.code, done.err.startswith("certpin: no.toml: it cannot be read")) == (2, True)
    assert done.out.count("certpin add --file no.toml HOST") == 1
    assert done.out.count("a conflict marker of git") == 1
    assert done.out.count("api.bank.example has only one pin") == 1


@pytest.mark.medium
@pytest.mark.parametrize("text", [GOOD, LONE, WARNED, HOSTILE])
def test_the_sarif_is_valid_by_the_schema_of_oasis(text: str, run: Run) -> None:
    log = _lint(run, text, "--format", "sarif").document
    assert not _sarif.complaints(log)
    (only,) = log["runs"]
    rules = only["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == list(RULES)
    assert all(rules[result["ruleIndex"]]["id"] == result["ruleId"] for result in only["results"])
    log["runs"][0]["results"].append({"ruleId": "a result without a message"})
    assert _sarif.complaints(log)


def _results(run: Run, text: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = _lint(run, text, "--format", "sarif").document["runs"][0][
        "results"
    ]
    return found


def test_a_result_has_its_line_and_an_allowed_one_is_suppressed(run: Run) -> None:
    found, allowed = _results(run, LONE)
    place = found["locations"][0]["physicalLocation"]
    assert place == {"artifactLocation": {"uri": "pins.toml"}, "region": {"startLine": 9}}
    assert (found["level"], found["suppressions"]) == ("error", [])
    assert allowed["suppressions"] == [{"kind": "inSource", "justification": "it is a test"}]


def test_a_fingerprint_stays_when_the_line_moves(run: Run) -> None:
    key = "certpinLint/v1"
    first, moved = (
        _results(run, text)[0]["partialFingerprints"][key] for text in (LONE, f"#\n{LONE}")
    )
    assert first == moved
    assert first != _results(run, WARNED)[0]["partialFingerprints"][key]


def test_a_path_with_any_characters_is_a_uri_in_sarif(run: Run, tmp_path: Path) -> None:
    for name in ("a b%.toml", str(tmp_path / "c d.toml")):
        Path(name).write_text(LONE)
        log = run("lint", name, "--format", "sarif").document
        place = log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
        assert re.fullmatch(r"(file:///.*/c%20d|a%20b%25)\.toml", place["artifactLocation"]["uri"])


def test_file_content_is_escaped_for_terminals_and_workflows(run: Run) -> None:
    github = _lint(run, HOSTILE, "--format", "github").out
    assert "\x1b" not in github + _lint(run, HOSTILE).out
    for line in github.splitlines()[:-1]:
        assert re.fullmatch(
            r"::(error|warning|notice) file=pins\.toml,line=\d+,title=certpin [a-z-]+::[^\r\n]+",
            line,
        )
    assert "100%25" in github
    assert github.splitlines()[-1].endswith("in pins.toml")


def test_neither_a_file_nor_its_name_begins_a_line_of_the_text(run: Run) -> None:
    name = "a\n::error::b.toml"
    Path(name).write_text(HOSTILE, encoding="utf-8")
    out = run("lint", name).out
    assert "::error::" in out
    assert not any(line.startswith("::") for line in out.splitlines())


def test_a_file_name_cannot_add_a_property_to_an_annotation(run: Run) -> None:
    name = "a,line=1::b%\n::error::c.toml"
    Path(name).write_text(LONE)
    first, *_ = run("lint", name, "--format", "github").out.splitlines()
    assert first.startswith("::error file=a%2Cline=1%3A%3Ab%25\\n%3A%3Aerror%3A%3Ac.toml,line=9,")


@pytest.mark.medium
def test_on_a_terminal_the_severity_has_a_colour_and_lines_are_folded(run: Run) -> None:
    Path("pins.toml").write_text(LONE)
    code, screen = on_terminal("lint", columns=60)
    assert code == 1
    assert "\x1b[31merror  \x1b[0m" in screen
    plain = re.sub(r"\x1b\[\d*m", "", screen)
    assert all(len(line) <= 60 for line in plain.splitlines())
    assert "\x1b[31m" not in on_terminal("lint", NO_COLOR="1")[1]


def test_no_fix_adds_a_host_that_exists(run: Run) -> None:
    """``certpin add`` refuses a host that has a policy: only the rule ``no-host`` suggests it."""
    assert [rule.id for rule in RULES.values() if "certpin add" in rule.fix] == ["no-host"]


def test_the_fix_of_no_spare_adds_a_spare(run: Run) -> None:
    in_use = GOOD.replace('role = "backup"', 'role = "leaf"')
    assert [row["rule"] for row in _lint(run, in_use, "--json").json["findings"]] == ["no-spare"]
    assert "rotate start --new FILE" in RULES["no-spare"].fix
    assert run("rotate", "shipped", "12", "--offline").code == 0
    assert run("rotate", "start", "--new", "next.key").code == 0
    assert run("lint", "--json").json["findings"] == []


def test_the_adoption_time_is_an_option(run: Run) -> None:
    done = _lint(run, GOOD, "--adoption-days", "36500", "--json")
    assert done.code == 0
    soon = GOOD.replace("2999-01-01", "2099-01-01")
    assert _lint(run, soon, "--adoption-days", "36500").code == 1


def test_the_environment_names_the_pin_file(run: Run) -> None:
    Path("other.toml").write_text(LONE)
    assert run("lint", CERTPIN_PINS="other.toml").code == 1


def test_without_exports_nothing_is_compared() -> None:
    assert gather_exports((), None) is None
    assert gather_exports(("json=x",), None) is None


@pytest.mark.parametrize(
    ("file", "command"),
    [
        ("lib/api.dart", "certpin import dart --check lib/api.dart"),
        (
            "my Api.kt",
            "certpin import okhttp-kotlin 'my Api.kt', or certpin import ktor 'my Api.kt'",
        ),
        ("a.xml", "certpin import android a.xml"),
    ],
)
def test_a_source_file_is_answered_with_the_command_that_reads_it(
    run: Run, file: str, command: str
) -> None:
    Path(file).parent.mkdir(exist_ok=True)
    Path(file).write_text("<a>\nvoid main() {}\n")
    done = run("lint", file)
    assert (done.code, f": {command}" in done.err, "not a pin file" in done.err) == (2, True, True)
    Path(file).unlink()
    assert "not a pin file" not in run("lint", file).err
