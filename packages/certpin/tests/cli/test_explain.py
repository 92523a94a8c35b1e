"""``certpin explain``: prints a rule of ``certpin lint`` or ``import`` as text and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from certpin.apps.rules import RULES as APP_RULES
from certpin.lint import RULES
from tests.cli import _documented

if TYPE_CHECKING:
    from tests.cli.conftest import Run


@pytest.mark.parametrize("name", RULES)
def test_a_rule_is_explained_with_its_source_and_both_examples(name: str, run: Run) -> None:
    rule = RULES[name]
    out = run("explain", name).out
    assert out.startswith(f"{name}: {rule.severity}\n")
    for text in (rule.summary, rule.why, rule.fix, rule.source):
        assert text in out
    assert ("It cannot be allowed" in out) == rule.refuses
    assert (f"# certpin: allow {name} because" in out) != rule.refuses
    shown = "\n".join(line.removeprefix("  ") for line in out.splitlines())
    assert rule.bad.strip() in shown
    assert rule.good.strip() in shown
    assert "The examples write sha256/ONE and the like for pins, and are read on 2027-03-01." in out


@pytest.mark.parametrize("name", APP_RULES)
def test_a_rule_of_apps_is_explained_with_its_examples(name: str, run: Run) -> None:
    rule = APP_RULES[name]
    out = run("explain", name).out
    assert out.startswith(f"{name}: {rule.severity}\n")
    for text in (rule.summary, rule.why, rule.fix, rule.source):
        assert text in out
    assert f"// certpin: allow {name} because" in out
    assert "(in YAML with #, in XML with <!-- -->)" in out
    shown = "\n".join(line.removeprefix("  ") for line in out.splitlines())
    for example in rule.examples:
        assert f"Bad ({example.file}):" in out
        assert example.bad.strip() in shown
        assert example.good.strip() in shown
    [data] = run("explain", name, "--json").json["rules"]
    assert (data["needs"], data["can_be_allowed"]) == ("app", True)
    assert (data["bad"] is None) == (not rule.examples)


def test_without_a_name_every_rule_has_a_line(run: Run) -> None:
    lines = run("explain").out.splitlines()
    assert [line.split()[0] for line in lines] == [*RULES, *APP_RULES]


def test_the_json_is_as_documented(run: Run) -> None:
    every = run("explain", "--json").json["rules"]
    for rule in every:
        _documented.check("rule", rule)
    assert [rule["rule"] for rule in every] == [*RULES, *APP_RULES]
    (one,) = run("explain", "no-backup", "--json").json["rules"]
    assert (one["can_be_allowed"], one["needs"], one["severity"]) == (False, "file", "error")


def test_an_unknown_rule_gets_a_suggestion(run: Run) -> None:
    done = run("explain", "no-bakup")
    assert done.code == 2
    assert "Did you mean 'no-backup'?" in done.err
    assert "`certpin explain` lists them" in run("explain", "xyz").err
