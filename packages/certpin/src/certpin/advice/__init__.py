"""Advice whether to pin a host, and which key: rules with sources, and a function to apply them.

    advice = load_advice()
    step = next_step(advice, {"client": "browser"})    # the next question, or the decision

The rules are data (``advice.toml``): each has quotes of its sources. Applying them needs no network
and no clock.
"""

from __future__ import annotations

from certpin.advice.rules import (
    Advice,
    AdviceAddition,
    AdviceAnswer,
    AdviceDecision,
    AdviceOption,
    AdviceQuestion,
    AdviceRule,
    AdviceSource,
    Quote,
    load_advice,
    next_step,
)

__all__ = [
    "Advice",
    "AdviceAddition",
    "AdviceAnswer",
    "AdviceDecision",
    "AdviceOption",
    "AdviceQuestion",
    "AdviceRule",
    "AdviceSource",
    "Quote",
    "load_advice",
    "next_step",
]
