"""Read source code: its tokens (words, strings and marks), and the table of policies in it.

This subset of the syntax is common to Dart, Go, Java, Kotlin, JavaScript and C#, and is enough to
read lists of pins. The run time is linear in the length of the text.

The table of policies in exported source code has the same fields in every language:

    pattern, mode, match, pins, compromised, expires, onExpiry, trust, reportTo

A field is one of these words (in any case), then a colon or an equals sign, then all strings up to
the next field. A policy starts at its pattern and ends at the bracket that closes it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from certpin.errors import FormatError
from certpin.formats.header import read_header
from certpin.formats.parsed import ParsedFile, found

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.formats.parsed import Row, Source

Kind = Literal["string", "word", "mark"]

# Possessive, so that hostile text cannot cause backtracking, and without branches in a possessive
# group, which Python 3.11.2 cannot match. Triple-quoted strings come first.
_TOKEN = re.compile(
    r"""
      (?P<comment>  //[^\n]*+ | /\*[^*]*+(?:(?=\*[^/])\*[^*]*+)*+\*/ )
    | r?(?P<string> \"\"\"[^\"]*+(?:(?=\"{1,2}+[^\"])\"++[^\"]*+)*+\"\"\"
                  | '''[^']*+(?:(?='{1,2}+[^'])'++[^']*+)*+'''
                  | \"[^\"\\\n]*+(?:\\.[^\"\\\n]*+)*+\"
                  | '[^'\\\n]*+(?:\\.[^'\\\n]*+)*+' | `[^`]*+` )
    | (?P<open>     /\* | [\"'`] )
    | (?P<word>     [A-Za-z_$][\w$]*+ | [0-9][\w.]*+ )
    | (?P<space>    \s++ )
    | (?P<mark>     . )
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)

_COMMENT_MARK = re.compile(r"/\*|\*/")

_FIELDS = (
    *("pattern", "mode", "match", "pins", "compromised"),
    *("expires", "onExpiry", "trust", "reportTo"),
)
_KNOWN = {name.lower(): name for name in _FIELDS}


@dataclass(frozen=True)
class Token:
    """A token of source code. The ``text`` of a string excludes its quotes."""

    kind: Kind
    text: str
    line: int


def tokens(text: str, *, nested: bool = False) -> Iterator[Token]:
    """Yield the tokens of source code.

    Args:
        text: the source code.
        nested: True if a block comment can contain others, as in Kotlin and Dart.

    Raises:
        FormatError: a string contains escapes, or a string or comment is not closed.
    """
    line, place = 1, 0
    while match := _TOKEN.match(text, place):
        kind, piece = match.lastgroup, match[0]
        if nested and piece.startswith("/*"):
            piece = text[place : _end_of_comment(text, place, line)]
        place += len(piece)
        if kind == "string":
            yield Token("string", _inside(match["string"], line), line)
        elif kind == "word":
            yield Token("word", piece, line)
        elif kind == "mark":
            yield Token("mark", piece, line)
        elif kind == "open":  # continuing would search for the end repeatedly
            raise FormatError(f"line {line}: the literal or comment {piece} is not closed")
        line += piece.count("\n")


def _end_of_comment(text: str, place: int, line: int) -> int:
    """Return the index after the comment that begins at ``place``, in line ``line``.

    Raises ``FormatError`` if it is not closed.
    """
    depth = 0
    for mark in _COMMENT_MARK.finditer(text, place):
        depth += 1 if mark[0] == "/*" else -1
        if depth == 0:
            return mark.end()
    raise FormatError(f"line {line}: the literal or comment /* is not closed")


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


def is_mark(pieces: list[Token], place: int, mark: str) -> bool:
    """Return True if the token with the index ``place`` exists and is this punctuation mark."""
    return place < len(pieces) and (pieces[place].kind, pieces[place].text) == ("mark", mark)


def read_table(source: Source, *, nested: bool = False) -> ParsedFile:
    """Parse the table of policies in exported source code. Raises ``FormatError``.

    ``nested`` is True if a block comment can contain others.
    """
    name, version = read_header(source.text)
    hosts = tuple(found(each) for each in _rows(list(tokens(source.text, nested=nested))))
    return ParsedFile(hosts, name, version)


def _rows(pieces: list[Token]) -> Iterator[Row]:
    """Yield the fields of each policy in the tokens of an exported source file."""
    place = 0
    while place < len(pieces):
        if _field(pieces, place) == "pattern" and pieces[place + 2].kind == "string":
            fields, place = _row(pieces, place)
            yield fields
        else:
            place += 1


def _row(pieces: list[Token], place: int) -> tuple[Row, int]:
    """Return the fields of the policy that starts at token ``place``, and the index after it.

    ``place`` is the index of the token in ``pieces``.
    """
    fields: Row = {}
    values: list[str] = []
    depth = 0
    while place < len(pieces) and depth >= 0:
        token = pieces[place]
        if name := _field(pieces, place):
            values = fields.setdefault(name, [])
        elif token.kind == "string":
            values.append(token.text)
        elif token.kind == "mark":
            depth += (token.text in "([{") - (token.text in ")]}")
        place += 1
    return fields, place


def _field(pieces: list[Token], place: int) -> str | None:
    """Return the name of the policy field that starts at token ``place``; None if none does.

    ``place`` is the index of the token in ``pieces``.
    """
    if place + 2 >= len(pieces) or pieces[place].kind != "word":
        return None
    return _KNOWN.get(pieces[place].text.lower()) if pieces[place + 1].text in {":", "="} else None
