"""The engine: all findings of a file at once, and comments that allow some of them."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

import pytest

import certpin.lint
from certpin.errors import ConfigError, PinFileError
from certpin.lint import RULES, LintReport, lint, load_document, read_document
from certpin.lint.rule import GOOD, HEAD, HOST, NOW, PINS, LintRule
from certpin.pinfile import PinSet
from tests.lint import _examples
from tests.pinfile import _files
from tests.pinfile.test_broken_files import FILES

if TYPE_CHECKING:
    from pathlib import Path

DEBUG = '\n[debug]\nanchors = "bank-root.pem"\n'


def _lint(text: str, folder: Path) -> LintReport:
    document, _ = _examples.document(text, folder)
    return lint(document, NOW)


def _lines_and_rules(report: LintReport) -> list[tuple[int, str]]:
    return [(each.line, each.rule) for each in report.findings]


@pytest.mark.parametrize("name", FILES)
def test_every_refusal_of_clients_is_an_error_at_the_same_key(name: str) -> None:
    broken = FILES[name]
    try:
        document = read_document(broken.text, "no-such-folder/pins.toml")
    except PinFileError:
        return  # tests of the reader check its line
    refused = [each for each in lint(document, NOW).findings if RULES[each.rule].refuses]
    assert any(f"{each.key}.".startswith(f"{broken.key}.") for each in refused)
    assert document.pins is None


def test_a_missing_key_is_named_with_its_fix(tmp_path: Path) -> None:
    refused = [each for each in _lint("", tmp_path).findings if each.rule == "refused"]
    assert [(each.message, each.fix) for each in refused] == [
        ("`schema` is missing", "write schema = 1 as the first line")
    ]
    partial = _lint('schema = 1\nname = "bank"\n[[host]]\n[[host.pin]]\n', tmp_path)
    messages = [each.message for each in partial.findings if each.rule == "refused"]
    assert messages == ["`version` is missing", "`name` is missing", "`pin` is missing"]


def test_every_mistake_of_a_file_is_reported_once(tmp_path: Path) -> None:
    text = (
        'schema = 1\nname = 1\nversion = 0\n\n[[host]]\nname = "**.co.uk"\nmode = "off"\n'
        'expires = "soon"\nreport_to = ["http://x.example"]\ntrust = "none.pem"\n'
        '\n[[host.pin]]\npin = "sha256/ONE"\nrole = "king"\n'
        '\n[[host.pin]]\npin = "sha256//ONE"\nstate = "new"\n'
        '\n[[host]]\nname = "a..b"\n[[host.pin]]\npin = "none"\n'
    )
    assert [each for each in _lines_and_rules(_lint(text, tmp_path)) if RULES[each[1]].refuses] == [
        (2, "refused"),
        (3, "version-too-low"),
        (6, "public-suffix"),
        (7, "refused"),
        (8, "refused"),
        (9, "report-not-https"),
        (10, "trust-unreadable"),
        (12, "no-backup"),
        (14, "refused"),
        (17, "duplicate-pin"),
        (18, "refused"),
        (21, "refused"),
        (22, "no-backup"),
        (23, "refused"),
    ]


def test_a_refusal_without_a_rule_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ConfigError("a new check", key="host[0].mode", fix="obey")

    monkeypatch.setattr(PinSet, "parse", refuse)
    (found,) = _lint(f'{HEAD}{HOST}mode = "enforce"\n{PINS}', tmp_path).findings
    assert (found.rule, found.line, found.message, found.fix) == (
        "refused",
        8,
        "a new check",
        "obey",
    )


def test_a_refusal_that_a_rule_reports_is_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ConfigError("one pin", key="host[0].pin")

    monkeypatch.setattr(PinSet, "parse", refuse)
    text = f"{HEAD}{HOST}{_files.PINS.partition('role')[0]}".rpartition("[[host.pin]]")[0]
    assert [rule for _, rule in _lines_and_rules(_lint(text, tmp_path))] == ["no-backup"]


def test_a_finding_names_its_host_its_file_and_the_fix(tmp_path: Path) -> None:
    (found,) = _lint(f'{GOOD}owner = "payments"\n', tmp_path).findings
    assert (found.host, found.key) == ("api.bank.example", "host[0].pin[1].owner")
    assert (found.file, found.fix) == (str(tmp_path / "pins.toml"), RULES["unknown-key"].fix)
    assert (
        found.message
        == "'owner' is not known here (known: pin, role, state, note, provider, not_after)"
    )


def test_a_misspelt_key_is_one_error_that_names_the_known_key(tmp_path: Path) -> None:
    (found,) = _lint(f'{GOOD}rule = "leaf"\n', tmp_path).findings
    assert (found.rule, found.severity) == ("misspelt-key", "error")
    assert found.message == "'rule' is not a key of this table, and looks like 'role'"


@pytest.mark.parametrize("words", ["debug-section because", "debug-section: because:"])
def test_allowed_findings_keep_their_reason(words: str, tmp_path: Path) -> None:
    allow = f"# certpin: allow {words} Charles is ours\n"
    report = _lint(f"{GOOD}\n{allow}{DEBUG.lstrip()}", tmp_path)
    assert report.findings == ()
    assert [(each.rule, each.allowed) for each in report.allowed] == [
        ("debug-section", "Charles is ours")
    ]


@pytest.mark.parametrize(
    "comment",
    [
        "# certpin: allow debug-section",
        "# certpin: allow debug-section because",
        "# certpin: allow debug-section because  .",
        "# certpin: allow debugsection because it is ours",
        "# certpin: debug-section because it is ours",
        "# certpin: alow debug-section because it is ours",
        "# allow debug-section because it is ours",
        "# certpin: allow debug-section because it is ours\n",
        'note = "# certpin: allow debug-section because it is ours"',
        'note = """\n# certpin: allow debug-section because it is ours"""',
    ],
)
def test_an_incomplete_allowance_has_no_effect(comment: str, tmp_path: Path) -> None:
    report = _lint(f"{GOOD}{comment}\n{DEBUG.lstrip()}", tmp_path)
    assert "debug-section" in {each.rule for each in report.findings}
    assert report.allowed == ()


def test_a_refusal_cannot_be_allowed(tmp_path: Path) -> None:
    lone = GOOD.rpartition("[[host.pin]]")[0]
    report = _lint(
        lone.replace("[[host.pin]]", "# certpin: allow no-backup because so\n[[host.pin]]"),
        tmp_path,
    )
    assert {each.rule for each in report.findings} == {"no-backup", "unused-allow"}
    assert report.allowed == ()


def test_an_allowance_of_a_rule_that_did_not_run_is_not_unused(tmp_path: Path) -> None:
    allow = "# certpin: allow drift, one-chain because of a reason\n"
    assert _lint(allow + GOOD, tmp_path).findings == ()


def test_an_unreadable_file_raises_pin_file_error(tmp_path: Path) -> None:
    path = tmp_path / "pins.toml"
    with pytest.raises(PinFileError, match="it cannot be read"):
        load_document(path)
    path.write_bytes(b"\xff")
    with pytest.raises(PinFileError, match="not UTF-8"):
        load_document(path)
    for text in ("a = ", "a = " + "[" * 5000, "x" + ".x" * 100_000 + "=1", "a = '\0'"):
        path.write_text(text)
        with pytest.raises(PinFileError):
            load_document(path)


def test_findings_are_sorted_by_line_then_severity(tmp_path: Path) -> None:
    text = GOOD.replace('"api.bank', '"API.bank') + f"owner = 1\n{DEBUG}"
    report = _lint(text, tmp_path)
    assert [each.severity for each in report.findings] == ["note", "error", "warning"]
    assert [len(report.at_least(word)) for word in ("error", "warning", "note")] == [1, 2, 3]


def test_every_file_with_a_rule_is_in_the_registry() -> None:
    for module in pkgutil.iter_modules(certpin.lint.__path__):
        names = vars(importlib.import_module(f"certpin.lint.{module.name}")).values()
        rules = {each.id for each in names if isinstance(each, LintRule)}
        assert rules <= RULES.keys(), f"fix: {module.name} in _FAMILIES of lint/engine.py"


def test_every_rule_has_complete_texts() -> None:
    for name, rule in RULES.items():
        assert rule.id == name
        assert rule.summary.endswith(".")
        assert rule.why.endswith(".")
        assert not rule.fix.endswith(".")
        assert rule.bad != rule.good
        assert rule.severity == "error" or not rule.refuses
