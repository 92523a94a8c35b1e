"""The examples of every rule: the bad one has its finding at the marked line, the good one none.

All rules run on each example, so that it shows one mistake and no other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from certpin.lint import RULES, lint
from certpin.lint.rule import NOW
from tests.lint import _examples

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", RULES)
def test_bad_example_has_one_finding_at_the_marked_line(name: str, tmp_path: Path) -> None:
    rule = RULES[name]
    document, marked = _examples.document(rule.bad, tmp_path, rule.needs)
    found = lint(document, NOW).findings
    assert [(each.rule, each.line) for each in found] == [(name, line) for line in marked]
    assert marked, "mark the line of the finding"
    assert found[0].severity == rule.severity


@pytest.mark.parametrize("name", RULES)
def test_good_example_has_no_finding(name: str, tmp_path: Path) -> None:
    rule = RULES[name]
    document, _ = _examples.document(rule.good, tmp_path, rule.needs)
    assert lint(document, NOW).findings == ()


@pytest.mark.parametrize("name", RULES)
def test_refuses_is_set_if_and_only_if_clients_refuse_the_file(name: str, tmp_path: Path) -> None:
    rule = RULES[name]
    document, _ = _examples.document(rule.bad, tmp_path, rule.needs)
    assert (document.pins is None) == rule.refuses
