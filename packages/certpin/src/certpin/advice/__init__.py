"""Advice about pinning a host: whether to pin it, and which key (``certpin decide``).

    advice = load_advice()
    step = next_step(advice, {"client": "browser"})    # the next question, or the decision

The advice is a list of rules (``advice.toml``), each with quotes of its sources. Functions apply
the rules without network and clock.
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
