"""Regular expressions match the same on every supported Python.

In Debian 12's Python 3.11.2, a possessive group fails to match if its content has branches,
negative look-ahead or atomic groups (CPython's issue 106052). certpin read no PEM file there.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from typing import TYPE_CHECKING, Any

import pytest

import certpin

if TYPE_CHECKING:
    from collections.abc import Iterator

_constants: Any = importlib.import_module("re._constants")
_parser: Any = importlib.import_module("re._parser")
_FAILING = {_constants.BRANCH, _constants.ASSERT_NOT, _constants.ATOMIC_GROUP}


def failing(pattern: str | bytes, flags: int = 0) -> bool:
    """Return True if a possessive group of a pattern contains what Python 3.11.2 cannot match."""
    whole = list(_operations(_parser.parse(pattern, flags)))
    groups = (value[2] for name, value in whole if name is _constants.POSSESSIVE_REPEAT)
    return any(name in _FAILING for group in groups for name, _ in _operations(group))


def _operations(parsed: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the operations of a parsed pattern, and those within them, each with its arguments."""
    for name, value in parsed:
        yield name, value
        yield from _within(value)


def _within(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, _parser.SubPattern):
        yield from _operations(value)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _within(each)


def _patterns() -> Iterator[tuple[str, re.Pattern[Any]]]:
    """Yield the patterns in the modules of certpin, with their names."""
    for found in pkgutil.walk_packages(certpin.__path__, "certpin.", onerror=lambda _: None):
        if not found.name.endswith("__main__"):
            try:
                module = importlib.import_module(found.name)
            except ImportError:  # an extra is missing
                continue
            for name, value in vars(module).items():
                if isinstance(value, re.Pattern):
                    yield f"{found.name}.{name}", value


@pytest.mark.slow  # it imports all modules
def test_no_pattern_fails_on_an_early_python_3_11() -> None:
    found = dict(_patterns())
    assert "certpin.x509.certificate._PEM" in found
    assert [name for name, each in found.items() if failing(each.pattern, each.flags)] == []


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (r"(?:[^-]++|-(?!----))*+-----END", True),
        (r"(?:(?!-----)-[^-]*+)*+-----END", True),
        (r"(?:(?>-)[^-]*+)*+-----END", True),
        (r"((?:ab|cd)*+)", True),
        (r"(?:ab|cd)*", False),
        (r"[^-]*+(?:(?=-{1,4}+[^-])-++[^-]*+)*+-----END", False),
        (r'"[^"\\]*+(?:\\.[^"\\]*+)*+"', False),
    ],
)
def test_a_possessive_group_that_may_fail_is_found(pattern: str, expected: bool) -> None:
    assert failing(pattern) is expected
