"""The advice of ``certpin decide`` for known settings, each with two sources (``cases.toml``)."""

from __future__ import annotations

import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from certpin.advice import AdviceDecision, load_advice, next_step

ADVICE = load_advice()
CASES = tomllib.loads(Path(__file__).with_name("cases.toml").read_text("utf-8"))["case"]

ids = [case["who"] for case in CASES]


def setting(case: dict[str, Any]) -> dict[str, str]:
    """Return the answers of a case from ``cases.toml``, by the question's name."""
    return dict(zip(ADVICE.questions, case["setting"].split(), strict=True))


def decision(case: dict[str, Any]) -> AdviceDecision:
    """Return the advice of ``certpin decide`` for a case, which answers every question."""
    step = next_step(ADVICE, setting(case))
    assert isinstance(step, AdviceDecision)
    return step


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_a_case_has_its_answer(case: dict[str, Any]) -> None:
    assert decision(case).answer.name == case["answer"]


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_two_independent_sources_agree_with_a_case(case: dict[str, Any]) -> None:
    quotes = [ADVICE.quotes[name] for name in case["quotes"]]
    assert len({quote.source.publisher for quote in quotes}) >= 2
    assert len({quote.source.url for quote in quotes}) >= 2
    for quote in quotes:
        assert case["answer"] in quote.supports, quote.name
        assert case["answer"] not in quote.opposes, quote.name


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_a_case_notes_that_sources_disagree(case: dict[str, Any]) -> None:
    rule = decision(case).rule
    assert bool(rule.against) <= bool(case.get("note"))
    assert bool(rule.against) == bool(rule.conflict)


def test_the_cases_cover_every_answer_and_every_rule() -> None:
    answers = Counter(case["answer"] for case in CASES)
    assert len({case["setting"] for case in CASES}) == len(CASES) >= 30
    assert answers.keys() == ADVICE.answers.keys()
    assert min(answers.values()) >= 3
    assert {decision(case).rule.name for case in CASES} == {rule.name for rule in ADVICE.rules}


def test_every_quote_is_used_by_a_rule_a_remark_or_a_case() -> None:
    used = {name for case in CASES for name in case["quotes"]}
    used |= {quote.name for rule in ADVICE.rules for quote in (*rule.quotes, *rule.against)}
    used |= {quote.name for addition in ADVICE.additions for quote in addition.quotes}
    assert used == ADVICE.quotes.keys()


def test_the_remark_about_a_demand_is_added_where_the_answer_is_not_to_pin() -> None:
    for case in CASES:
        added = {addition.name for addition in decision(case).also}
        demanded = setting(case)["demand"] != "none"
        assert ("demand-remains" in added) == (demanded and case["answer"] == "dont-pin")
