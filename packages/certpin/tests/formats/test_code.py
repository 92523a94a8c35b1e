"""The tokenizer that reads strings in source code of any language, for the import of pins."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certpin.errors import FormatError
from certpin.formats.code import tokens


def strings(text: str) -> list[str]:
    return [token.text for token in tokens(text) if token.kind == "string"]


@pytest.mark.parametrize(
    "code",
    [
        'add("a", "b")',
        "['a', 'b']",
        "`a` + `b`",
        "\"\"\"a\"\"\" '''b'''",
        "r'a' r\"b\"",
        '// "x"\n"a" /* "y" \n * "z" **/ "b" // \'w\'',
        "'a' /* it's */ 'b'",
    ],
)
def test_strings_are_found_and_comments_are_not_read(code: str) -> None:
    assert strings(code) == ["a", "b"]


def test_a_url_in_a_string_is_not_a_comment() -> None:
    assert strings('"https://bank.example/*x*/" // "y"') == ["https://bank.example/*x*/"]


def test_words_and_marks_keep_their_lines() -> None:
    found = [(token.kind, token.text, token.line) for token in tokens('x.add(\n  "y", 1)')]
    assert found == [
        ("word", "x", 1),
        ("mark", ".", 1),
        ("word", "add", 1),
        ("mark", "(", 1),
        ("string", "y", 2),
        ("mark", ",", 2),
        ("word", "1", 2),
        ("mark", ")", 2),
    ]


@pytest.mark.parametrize("code", ['"a\\"b"', "'${host}'", '\n"\\u0041"', "'a\\\\'"])
def test_computed_strings_are_refused(code: str) -> None:
    with pytest.raises(FormatError, match=r"line [12]: the string .* is computed"):
        strings(code)


@given(st.text(max_size=300))
def test_any_text_is_tokenized_or_refused(text: str) -> None:
    try:
        found = list(tokens(text))
    except FormatError:
        return
    assert all(token.text or token.kind == "string" for token in found)
    assert [token.line for token in found] == sorted(token.line for token in found)


@pytest.mark.slow
@pytest.mark.parametrize("piece", ['"', "'", "/*", "//", "`", '"""', "r'", "\\", '"\\', " ", "a("])
def test_hostile_text_takes_linear_time(piece: str) -> None:
    """A backtracking pattern would exceed the timeout of the suite."""
    count = 0
    try:
        for _ in tokens(piece * 300_000):
            count += 1
    except FormatError:
        return
    assert count <= len(piece) * 300_000
