"""Every rule over its own examples: the bad one is found where it is marked, the good one is good.

All rules run over each, so that an example shows one mistake and no other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from certpin.lint import RULES, lint
from certpin.lint.rule import NOW
from tests.lint import _scene

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", RULES)
def test_the_bad_example_is_found_where_it_is_marked(name: str, tmp_path: Path) -> None:
    rule = RULES[name]
    document, marked = _scene.document(rule.bad, tmp_path, rule.needs)
    found = lint(document, NOW).findings
    assert [(each.rule, each.line) for each in found] == [(name, line) for line in marked]
    assert marked, "its line is marked"
    assert found[0].severity == rule.severity


@pytest.mark.parametrize("name", RULES)
def test_in_the_good_example_nothing_is_found(name: str, tmp_path: Path) -> None:
    rule = RULES[name]
    document, _ = _scene.document(rule.good, tmp_path, rule.needs)
    assert lint(document, NOW).findings == ()


@pytest.mark.parametrize("name", RULES)
def test_a_rule_refuses_what_clients_refuse_and_nothing_else(name: str, tmp_path: Path) -> None:
    rule = RULES[name]
    document, _ = _scene.document(rule.bad, tmp_path, rule.needs)
    assert (document.pins is None) == rule.refuses
