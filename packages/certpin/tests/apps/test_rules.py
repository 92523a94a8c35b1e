"""The examples of every rule for apps: each bad one has one mistake, and each good one none.

The mistake must be at the marked line. All rules check each example.
"""

from __future__ import annotations

import pytest

from certpin.apps.model import Mistake, SourceFile
from certpin.apps.platforms import read_network_security
from certpin.apps.rules import RULES, AppRule, Example
from certpin.errors import FormatError
from certpin.lab import Authority
from tests._marks import unmarked
from tests.apps._dart import NEEDS_PARSER, NOW, read

pytestmark = NEEDS_PARSER

EXAMPLES = [
    pytest.param(rule, example, id=f"{rule.id}-{example.file}")
    for rule in RULES.values()
    for example in rule.examples
]


def _anchors(name: str) -> bytes:
    if "bank_authority" not in name:
        raise FormatError("no such file")
    return Authority("Bank").pem


def _mistakes(text: str, path: str) -> list[Mistake]:
    """Return the mistakes in an example.

    Without ``platform-pins-ignored``: the app of an example in XML has no Dart code.
    """
    if path.endswith(".dart"):
        return read(text, path).mistakes
    found = read_network_security(SourceFile(path, text.encode(), text), NOW, _anchors)
    assert found.unread == []
    return [each for each in found.mistakes if each.rule != "platform-pins-ignored"]


@pytest.mark.parametrize(("rule", "example"), EXAMPLES)
def test_the_bad_example_has_one_mistake_at_the_marked_line(
    rule: AppRule, example: Example
) -> None:
    text, marked = unmarked(example.bad)
    found = _mistakes(text, example.file)
    assert [(each.rule, each.place.line) for each in found] == [(rule.id, line) for line in marked]
    assert len(marked) == 1


@pytest.mark.parametrize(("rule", "example"), EXAMPLES)
def test_the_good_example_has_no_mistake(rule: AppRule, example: Example) -> None:
    text, marked = unmarked(example.good)
    assert _mistakes(text, example.file) == []
    assert not marked
