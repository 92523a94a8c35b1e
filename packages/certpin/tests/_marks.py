"""The marks in the examples of rules, which show the line of the mistake."""

from __future__ import annotations

from certpin.apps import platform_examples
from certpin.apps.dart import examples as dart_examples
from certpin.lint import rule as lint_rule

_MARKS = (lint_rule.HERE, dart_examples.HERE, platform_examples.HERE)


def unmarked(example: str) -> tuple[str, list[int]]:
    """Return an example without its marks, and the numbers of the marked lines, from 1."""
    lines = example.split("\n")
    marked = [number for number, line in enumerate(lines, 1) if line.endswith(_MARKS)]
    for mark in _MARKS:
        example = example.replace(mark, "")
    return example, marked
