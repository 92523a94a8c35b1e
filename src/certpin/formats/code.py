"""Read source code as far as lists of pins go: words, strings and marks, without the comments.

Dart, Go, Java, Kotlin, JavaScript and C# agree on that much. One pass, whatever the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from certpin.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator

Kind = Literal["string", "word", "mark"]

# Possessive, so that hostile text takes one pass. Strings with three quotes before those with one.
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
    """A piece of source code. ``text`` of a string is what stands between its quotes."""

    kind: Kind
    text: str
    line: int


def tokens(text: str) -> Iterator[Token]:
    """The pieces of source code.

    Raises ``FormatError`` where a string uses escapes, or a string or a comment has no end.
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
        elif kind == "open":  # to go on would look for its end again and again
            raise FormatError(f"line {line}: what begins with {piece} has no end")
        line += piece.count("\n")


def _inside(literal: str, line: int) -> str:
    """No pin, host or date needs an escape: where there is one, it is not ours to guess."""
    quotes = 3 if literal[:3] in {'"""', "'''"} and len(literal) >= 6 else 1
    inside = literal[quotes:-quotes]
    if "\\" in inside or "${" in inside:
        raise FormatError(
            f"line {line}: the string {inside[:40]!r} is put together in code",
            fix="write it as it is, without escapes",
        )
    return inside
