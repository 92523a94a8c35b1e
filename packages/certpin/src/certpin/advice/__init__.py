"""Whether to pin a host, and what: rules with their sources, and a pure function that applies them.

    advice = load_advice()
    step = next_step(advice, {"client": "browser"})    # the next question, or the decision

The rules are data (``advice.toml``): each names quotes of its sources. No network, no clock.
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
