"""The picture of ``certpin decide``'s rules in docs/start: drawn from the rules, and complete."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from certpin.advice import load_advice
from scripts import decision_picture

SVG = "{http://www.w3.org/2000/svg}"


def test_the_picture_in_the_documentation_is_that_of_the_rules() -> None:
    assert decision_picture.TARGET.read_text("utf-8") == decision_picture.draw()


def test_the_picture_shows_each_rule_with_its_conditions_and_its_answer_in_order() -> None:
    texts = [each.text for each in ET.fromstring(decision_picture.draw()).iter(f"{SVG}text")]
    expected = []
    for rule in load_advice().rules:
        conditions = decision_picture.conditions(rule) or "otherwise"
        expected += [rule.title, conditions, rule.answer.short]
    assert [text for text in texts if text != "no"] == expected
