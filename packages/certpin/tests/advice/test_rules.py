"""The rules of ``certpin decide``: each set of answers gets advice, and each quote has a source."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from certpin.advice import Advice, AdviceDecision, AdviceQuestion, load_advice, next_step
from certpin.errors import ConfigError

ADVICE = load_advice()
SETTINGS = [
    dict(zip(ADVICE.questions, values, strict=True))
    for values in itertools.product(*(each.values for each in ADVICE.questions.values()))
]
# What pins may be recommended for: the attacks and demands that only a pin answers.
PINNING = {"provider-roots", "own-key"}


def decide(setting: dict[str, str]) -> AdviceDecision:
    step = next_step(ADVICE, setting)
    assert isinstance(step, AdviceDecision)
    return step


def interview(setting: dict[str, str]) -> tuple[list[str], AdviceDecision]:
    """Answer the questions of ``certpin decide`` from ``setting``, until it decides.

    Return the names of the questions in their order, and the decision.
    """
    known: dict[str, str] = {}
    while isinstance(step := next_step(ADVICE, known), AdviceQuestion):
        assert step.name not in known
        known[step.name] = setting[step.name]
    return list(known), step


def test_every_setting_is_decided_and_every_rule_decides_one() -> None:
    deciding = [decide(setting).rule.name for setting in SETTINGS]
    assert set(deciding) == {rule.name for rule in ADVICE.rules}


def test_the_interview_ends_as_the_whole_setting_does() -> None:
    for setting in SETTINGS:
        asked, decision = interview(setting)
        assert decision.rule is decide(setting).rule
        assert set(asked) >= set(decision.rule.when)


def test_an_interview_asks_only_what_can_still_matter() -> None:
    assert interview(SETTINGS[0])[0] == ["client"]  # browsers
    app = {"client": "app", "dns": "own", "goal": "none", "demand": "none"}
    assert interview({**SETTINGS[-1], **app})[0] == list(app)
    assert max(len(interview(setting)[0]) for setting in SETTINGS) <= len(ADVICE.questions)


def test_a_pin_is_recommended_only_against_an_attack_or_a_demand_that_needs_one() -> None:
    for setting in SETTINGS:
        if decide(setting).answer.name in PINNING:
            assert setting["goal"] == "interception" or setting["demand"] != "none"
            assert setting["dns"] == "own"
            assert setting["client"] not in {"browser", "partner"}


def test_pins_that_can_not_be_changed_are_never_recommended() -> None:
    never = [setting for setting in SETTINGS if setting["updates"] == "never"]
    assert PINNING.isdisjoint(decide(setting).answer.name for setting in never)


def test_a_key_that_a_provider_replaces_is_never_pinned() -> None:
    for setting in SETTINGS:
        if setting["key"] == "provider":
            assert decide(setting).answer.name != "own-key"


def test_a_rule_names_two_publishers_that_agree_and_those_that_do_not() -> None:
    for rule in ADVICE.rules:
        assert len({quote.source.publisher for quote in rule.quotes}) >= 2, rule.name
        for quote in rule.quotes:
            assert rule.answer.name in quote.supports, (rule.name, quote.name)
        for quote in rule.against:
            assert rule.answer.name in quote.opposes, (rule.name, quote.name)


def test_conditions_name_questions_and_their_values() -> None:
    conditions = [each.when for each in ADVICE.rules] + [each.when for each in ADVICE.additions]
    for name, values in (each for when in conditions for each in when.items()):
        assert set(values) < set(ADVICE.questions[name].values), name
    assert {name for each in ADVICE.additions for name in each.answers} <= ADVICE.answers.keys()


def test_every_source_has_an_address_and_a_copy_and_is_quoted() -> None:
    for quote in ADVICE.quotes.values():
        assert quote.source.url.startswith("https://")
        assert quote.source.copy
        assert quote.text == " ".join(quote.text.split())
        assert {*quote.supports, *quote.opposes} <= ADVICE.answers.keys()
        assert quote.supports or quote.opposes
    quoted = {quote.source.url for quote in ADVICE.quotes.values()}
    assert {"cheatsheetseries.owasp.org", "mas.owasp.org", "developer.apple.com"} <= {
        url.split("/")[2] for url in quoted
    }
    assert all(title and url.startswith("https://") for title, url in ADVICE.unread)


def test_the_remarks_depend_on_the_setting() -> None:
    setting = {"client": "browser", "demand": "audit", "goal": "tampering"}
    assert [each.name for each in decide(setting).also] == ["tampering-remains", "demand-remains"]
    assert decide({"client": "browser"}).also == ()


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ({"colour": "red"}, "colour: there is no such question"),
        ({"client": "app", "key": "mine"}, "key: 'mine' is no answer to this question"),
    ],
)
def test_an_unknown_question_or_value_is_refused(setting: dict[str, str], problem: str) -> None:
    with pytest.raises(ConfigError) as raised:
        next_step(ADVICE, setting)
    assert str(raised.value).startswith(problem)
    assert "fix: use one of: " in str(raised.value)


def test_rules_that_decide_nothing_are_an_error() -> None:
    empty: Advice = replace(ADVICE, rules=())
    with pytest.raises(ConfigError, match="no rule decides"):
        next_step(empty, {"client": "browser"})
