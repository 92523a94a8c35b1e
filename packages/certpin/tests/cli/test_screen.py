"""Output on a terminal is folded to its width, and control characters are always escaped."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certpin.cli.reply import fold
from tests.cli._terminal import Terminal

WORDS = st.lists(st.text("abc/=é", min_size=1, max_size=60), max_size=30).map(" ".join)


@pytest.fixture(autouse=True)
def width(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("COLUMNS", "60")
    return monkeypatch


@pytest.mark.medium
@given(WORDS, st.integers(0, 10), st.integers(0, 20))
def test_no_word_is_lost_split_or_beyond_the_width(text: str, indent: int, taken: int) -> None:
    folded = fold(" " * indent + text, Terminal(), taken=taken)
    assert folded.split() == text.split()
    first, *others = [line for line in folded.split("\n") if line] or [""]
    assert len(first) + taken <= 60 or len(first.split()) == 1
    assert all(len(line) <= 60 or len(line.split()) == 1 for line in others)


def test_continuation_lines_are_indented() -> None:
    text = "  fix: " + "word " * 20
    first, *others = fold(text, Terminal()).split("\n")
    assert first.startswith("  fix: word")
    assert others
    assert all(line.startswith("      word") for line in others)


def test_line_breaks_are_kept() -> None:
    assert fold("a\n  b\n\nc", Terminal()) == "a\n  b\n\nc"


@pytest.mark.parametrize("columns", ["39", "0", "-5", "wide", "9" * 5000])
def test_lines_are_not_folded_for_a_narrow_or_unknown_width(
    width: pytest.MonkeyPatch, columns: str
) -> None:
    width.setenv("COLUMNS", columns)
    text = "word " * 200 + "end"
    assert fold(text, Terminal()) == text


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_control_characters_are_escaped(stream: io.StringIO) -> None:
    assert fold("a\x1b[2J\x07\u202eb", stream) == r"a\x1b[2J\x07\u202eb"


def test_lines_are_not_folded_in_a_pipe() -> None:
    assert fold("word " * 50, io.StringIO()) == "word " * 50
