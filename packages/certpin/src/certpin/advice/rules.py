"""The rules of ``certpin decide``: read from ``advice.toml``, and applied to a setting.

A setting is the user's answers so far, by question, such as ``{"client": "app", "goal": "none"}``.
The rules are an ordered list: the first rule that holds decides. A question is asked only if the
next rule that can still hold needs it, so most settings are decided by three to five answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from certpin.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

# The conditions of a rule: the values with which it holds, by question.
Conditions = dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class AdviceSource:
    """A published text, such as a web page, that the rules of ``certpin decide`` quote.

    Attributes:
        name: the name of the text in ``advice.toml``.
        title: the title of the text.
        publisher: the organisation; two texts of one publisher are not independent.
        url: the address of the text.
        copy: the stored copy from which the quotes were taken. The live text can differ.
    """

    name: str
    title: str
    publisher: str
    url: str
    copy: str


@dataclass(frozen=True)
class Quote:
    """A verbatim sentence of a source, without markup and links.

    Attributes:
        name: the name of the quote in ``advice.toml``. It begins with the name of the source.
        source: the text that contains the sentence.
        text: the sentence.
        supports: the names of the advice (``AdviceAnswer``) that the sentence argues for, in the
            context of its source.
        opposes: the names of the advice that it argues against.
    """

    name: str
    source: AdviceSource
    text: str
    supports: tuple[str, ...] = ()
    opposes: tuple[str, ...] = ()


@dataclass(frozen=True)
class AdviceOption:
    """A possible answer to a question of ``certpin decide``.

    Attributes:
        value: the answer as the user gives it on the command line.
        text: the answer in words, as it is shown to the user.
    """

    value: str
    text: str


@dataclass(frozen=True)
class AdviceQuestion:
    """A question of ``certpin decide``, to which the user gives one of several answers.

    Attributes:
        name: the name of the question in ``advice.toml``.
        text: the question, as it is shown to the user.
        options: the possible answers.
    """

    name: str
    text: str
    options: tuple[AdviceOption, ...]

    @property
    def values(self) -> tuple[str, ...]:
        """The values of all possible answers, as they are given on the command line."""
        return tuple(option.value for option in self.options)


@dataclass(frozen=True)
class AdviceAnswer:
    """One of the five results of ``certpin decide``, such as not to pin.

    Attributes:
        short: the result in a few words, as the label in a diagram.
        title: the result in one sentence.
        how: instructions for following the advice. ``HOST`` is a placeholder for the host.
        cost: the costs of following the advice.
        commands: the next commands of certpin; empty if there is none.
    """

    name: str
    short: str
    title: str
    how: tuple[str, ...]
    cost: tuple[str, ...]
    commands: tuple[str, ...]


@dataclass(frozen=True)
class AdviceRule:
    """A rule of ``certpin decide``: which advice the user gets if certain conditions hold.

    The conditions are about the user's answers to the questions of ``certpin decide``.

    Attributes:
        title: the situation of the user for which the rule is, in a few words.
        when: the conditions, all of which must hold. A condition is a question with some of its
            answers: it holds if the user gave one of these. The last rule has no conditions.
        answer: the advice that the rule gives.
        why: the reason for the advice.
        quotes: sentences of sources that agree.
        against: sentences of sources that advise otherwise.
        conflict: why certpin gives the advice nevertheless; empty if all sources agree.
        how: instructions that replace ``answer.how``; empty to keep those of ``answer``.
    """

    name: str
    title: str
    when: Conditions
    answer: AdviceAnswer
    why: str
    quotes: tuple[Quote, ...]
    against: tuple[Quote, ...] = ()
    conflict: str = ""
    how: tuple[str, ...] = ()


@dataclass(frozen=True)
class AdviceAddition:
    """A remark that ``certpin decide`` prints below its advice if certain conditions hold.

    Attributes:
        name: the name of the remark in ``advice.toml``.
        when: the conditions about the user's answers, all of which must hold.
        answers: the names of the advice (``AdviceAnswer``) to which the remark may be added.
        text: the remark.
        quotes: sentences of sources that agree.
    """

    name: str
    when: Conditions
    answers: tuple[str, ...]
    text: str
    quotes: tuple[Quote, ...]


@dataclass(frozen=True)
class AdviceDecision:
    """The result of ``certpin decide``: the rule that applies to the user, and its remarks.

    ``rule`` is the first rule with conditions that the user's answers meet. ``also`` are the
    remarks to print below the advice.
    """

    rule: AdviceRule
    also: tuple[AdviceAddition, ...]

    @property
    def answer(self) -> AdviceAnswer:
        """The advice for the user, such as not to pin: that of the rule that applies."""
        return self.rule.answer

    @property
    def how(self) -> tuple[str, ...]:
        """The instructions for following the advice.

        If the rule that applies has its own instructions, they replace those of the advice.
        """
        return self.rule.how or self.answer.how


@dataclass(frozen=True)
class Advice:
    """All rules of ``certpin decide``, with their questions, answers, remarks and sources.

    Attributes:
        edition: the day on which the sources were read last, in the form of RFC 3339.
        questions: the questions, by name.
        answers: the possible results, by name.
        rules: the rules, in the order in which they are tried.
        additions: the remarks.
        quotes: the sentences of sources, by name.
        unread: title and address of sources that could not be read, and are not quoted.
    """

    edition: str
    questions: Mapping[str, AdviceQuestion]
    answers: Mapping[str, AdviceAnswer]
    rules: tuple[AdviceRule, ...]
    additions: tuple[AdviceAddition, ...]
    quotes: Mapping[str, Quote]
    unread: tuple[tuple[str, str], ...]


def next_step(advice: Advice, setting: Mapping[str, str]) -> AdviceQuestion | AdviceDecision:
    """Return the decision for the user's answers, or the next question if they are not enough.

    Args:
        advice: the rules.
        setting: the user's answers so far, by the name of the question. Answers that the deciding
            rule doesn't need don't change the decision, but can add a remark to it.

    Raises:
        ConfigError: the setting has an unknown question or value.
    """
    for name, value in setting.items():
        _check(advice, name, value)
    for rule in advice.rules:
        if _excluded(rule.when, setting):
            continue
        for name in rule.when:
            if name not in setting:
                return advice.questions[name]
        return AdviceDecision(rule, _additions(advice, rule.answer, setting))
    raise ConfigError("no rule decides this setting", key="advice.toml")


def _check(advice: Advice, name: str, value: str) -> None:
    if name not in advice.questions:
        known = ", ".join(advice.questions)
        raise ConfigError("there is no such question", key=name, fix=f"use one of: {known}")
    values = advice.questions[name].values
    if value not in values:
        fix = f"use one of: {', '.join(values)}"
        raise ConfigError(f"{value!r} is no answer to this question", key=name, fix=fix)


def _excluded(when: Conditions, setting: Mapping[str, str]) -> bool:
    """Return True if a rule of ``certpin decide`` can't apply to the user any more.

    A rule can't apply if one of the user's answers contradicts a condition of the rule. ``when``
    are the conditions of the rule. ``setting`` are the user's answers so far, by the name of the
    question.
    """
    return any(name in setting and setting[name] not in values for name, values in when.items())


def _additions(
    advice: Advice, answer: AdviceAnswer, setting: Mapping[str, str]
) -> tuple[AdviceAddition, ...]:
    return tuple(
        addition
        for addition in advice.additions
        if answer.name in addition.answers
        and all(setting.get(name) in values for name, values in addition.when.items())
    )


@cache
def load_advice() -> Advice:
    """Return the rules of this release, read from ``advice.toml`` once.

    Raises:
        KeyError: a rule names a quote, a source or an answer that isn't in the file. A test reads
            the file, so that no release has such a mistake.
    """
    import tomli

    data = tomli.loads(files("certpin.advice").joinpath("advice.toml").read_text("utf-8"))
    sources = {each["name"]: AdviceSource(**each) for each in data["source"]}
    quotes = {each["name"]: _quote(each, sources) for each in data["quote"]}
    answers = {each["name"]: AdviceAnswer(**_frozen(each)) for each in data["answer"]}
    return Advice(
        edition=data["edition"],
        questions={each["name"]: _question(each) for each in data["question"]},
        answers=answers,
        rules=tuple(_rule(each, answers, quotes) for each in data["rule"]),
        additions=tuple(_addition(each, quotes) for each in data["addition"]),
        quotes=quotes,
        unread=tuple((each["title"], each["url"]) for each in data["unread"]),
    )


def _frozen(table: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of a TOML table in which each list is a tuple, for immutable rules."""
    return {key: tuple(each) if isinstance(each, list) else each for key, each in table.items()}


def _quote(table: dict[str, Any], sources: dict[str, AdviceSource]) -> Quote:
    return Quote(source=sources[table["name"].partition(".")[0]], **_frozen(table))


def _question(table: dict[str, Any]) -> AdviceQuestion:
    options = tuple(AdviceOption(**each) for each in table["options"])
    return AdviceQuestion(table["name"], table["text"], options)


def _rule(
    table: dict[str, Any], answers: dict[str, AdviceAnswer], quotes: dict[str, Quote]
) -> AdviceRule:
    linked = {
        "when": _frozen(table["when"]),
        "answer": answers[table["answer"]],
        "quotes": tuple(quotes[name] for name in table["quotes"]),
        "against": tuple(quotes[name] for name in table.get("against", ())),
    }
    return AdviceRule(**(_frozen(table) | linked))


def _addition(table: dict[str, Any], quotes: dict[str, Quote]) -> AdviceAddition:
    linked = {
        "when": _frozen(table["when"]),
        "quotes": tuple(quotes[name] for name in table["quotes"]),
    }
    return AdviceAddition(**(_frozen(table) | linked))
