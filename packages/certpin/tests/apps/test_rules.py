"""The examples of every rule for apps: each bad one has one mistake, and each good one none.

The mistake must be at the marked line. All rules check each example.
"""

from __future__ import annotations

import pytest

from certpin.apps.rules import RULES, AppRule, Example, unmarked
from tests.apps._dart import NEEDS_PARSER, read

pytestmark = NEEDS_PARSER

EXAMPLES = [
    pytest.param(rule, example, id=f"{rule.id}-{example.file}")
    for rule in RULES.values()
    for example in rule.examples
]


@pytest.mark.parametrize(("rule", "example"), EXAMPLES)
def test_the_bad_example_has_one_mistake_at_the_marked_line(
    rule: AppRule, example: Example
) -> None:
    text, marked = unmarked(example.bad)
    found = read(text, example.file).mistakes
    assert [(each.rule, each.place.line) for each in found] == [(rule.id, line) for line in marked]
    assert len(marked) == 1


@pytest.mark.parametrize(("rule", "example"), EXAMPLES)
def test_the_good_example_has_no_mistake(rule: AppRule, example: Example) -> None:
    text, marked = unmarked(example.good)
    assert read(text, example.file).mistakes == []
    assert not marked
