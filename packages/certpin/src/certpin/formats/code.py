"""Split source code into tokens (words, strings and marks), without comments.

This subset of the syntax is common to Dart, Go, Java, Kotlin, JavaScript and C#, and is enough to
read lists of pins. The run time is linear in the length of the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from certpin.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator

Kind = Literal["string", "word", "mark"]

# Possessive, so that hostile text cannot cause backtracking. Triple-quoted strings come first.
_TOKEN = re.compile(
    r"""
      (?P<comment>  //[^\n]*+ | /\*(?:[^*]|\*(?!/))*+\*/ )
    | r?(?P<string> \"\"\"(?:[^\"]|\"(?!\"\"))*+\"\"\" | '''(?:[^']|'(?!''))*+'''
                  | \"(?:[^\"\\\n]|\\.)*+\" | '(?:[^'\\\n]|\\.)*+' | `[^`]*+` )
    | (?P<open>     /\* | [\"'`] )
    | (?P<word>     [A-Za-z_$][\w$]*+ | [0-9][\w.]*+ )
    | (?P<space>    \s++ )
    | (?P<mark>     . )
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)


@dataclass(frozen=True)
class Token:
    """A token of source code. The ``text`` of a string excludes its quotes."""

    kind: Kind
    text: str
    line: int


def tokens(text: str) -> Iterator[Token]:
    """Yield the tokens of source code.

    Raises:
        FormatError: a string contains escapes, or a string or comment is not closed.
    """
    line = 1
    for match in _TOKEN.finditer(text):
        kind, piece = match.lastgroup, match[0]
        if kind == "string":
            yield Token("string", _inside(match["string"], line), line)
        elif kind == "word":
            yield Token("word", piece, line)
        elif kind == "mark":
            yield Token("mark", piece, line)
        elif kind == "open":  # continuing would search for the end repeatedly
            raise FormatError(f"line {line}: the literal or comment {piece} is not closed")
        line += piece.count("\n")


def _inside(literal: str, line: int) -> str:
    """Return the content of a string literal.

    Raises ``FormatError`` for escapes, because no pin, host or date needs one.
    """
    quotes = 3 if literal[:3] in {'"""', "'''"} and len(literal) >= 6 else 1
    inside = literal[quotes:-quotes]
    if "\\" in inside or "${" in inside:
        raise FormatError(
            f"line {line}: the string {inside[:40]!r} is computed",
            fix="write it literally, without escapes",
        )
    return inside
