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
from typing import TYPE_CHECKING, Literal, cast

from certpin.errors import FormatError
from certpin.formats.header import read_header
from certpin.formats.parsed import ParsedFile, found

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.formats.parsed import Row, Source

Kind = Literal["string", "word", "mark"]

# Possessive, so that hostile text cannot cause backtracking, and without branches in a possessive
# group, which Python 3.11.2 cannot match. Triple-quoted strings come first, and before them strings
# in which a backslash is an ordinary character: C#'s @"…" and Dart's r"…".
_TOKEN = re.compile(
    r"""
      (?P<comment>  //[^\n]*+ | /\*[^*]*+(?:(?=\*[^/])\*[^*]*+)*+\*/ )
    | @\$?(?P<verbatim> \"[^\"]*+(?:\"\"[^\"]*+)*+\" )
    | r(?!\"\"\"|''')(?P<raw> \"[^\"\n]*+\" | '[^'\n]*+' )
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

# A regular expression of JavaScript (ECMA-262, section 12.9.5), and the tokens before it. After
# any other token, a `/` divides, or is text of JSX. The bounds keep the run time linear.
_REGEX = re.compile(
    r"""
    / (?![*/])
    (?: (?=[^/\n]) [^\\/\[\n]*+ (?:\\[^\n])?+
        (?:\[ [^\]\\\n]{0,99}+ (?:\\.[^\]\\\n]{0,9}+){0,9}+ \])?+ )+
    / [a-z]*+
    """,
    re.VERBOSE,
)
_BEFORE_REGEX = frozenset("(,=:[!&|?{;+*%~^") | {"=>", "return", "typeof", "case", ""}

# A `${…}` of a string, without escapes, other templates, and strings that contain a brace.
_TEMPLATE = re.compile(
    r"""
    \$\{
    (?: (?=[^}]) [^{}'"`\\]*+ (?:'[^'{}\\]*+')?+ (?:"[^"{}\\]*+")?+ (?:`[^`{}\\]*+`)?+ )*
    \}
    """,
    re.VERBOSE,
)

_COMMENT_MARK = re.compile(r"/\*|\*/")

_FIELDS = (
    *("pattern", "mode", "match", "pins", "compromised"),
    *("expires", "onExpiry", "trust", "reportTo"),
)
_KNOWN = {name.lower(): name for name in _FIELDS}


@dataclass(frozen=True)
class Token:
    """A token of source code. The ``text`` of a string excludes its quotes.

    ``computed`` is True if the value of a string is not its text, because of escapes or ``${…}``.
    """

    kind: Kind
    text: str
    line: int
    computed: bool = False

    def value(self) -> str:
        """Return the value of a string. Raises ``FormatError`` if it is computed.

        No pin, host or date needs an escape.
        """
        if self.computed:
            raise _computed(self.text, self.line)
        return self.text


def tokens(text: str, *, nested: bool = False, regex: bool = False) -> Iterator[Token]:
    """Yield the tokens of source code.

    Args:
        text: the source code.
        nested: True if a block comment can contain others, as in Kotlin and Dart.
        regex: True if the language has literals for regular expressions, as JavaScript. They are
            left out.

    Raises:
        FormatError: a string or comment is not closed, or the end of a string is ambiguous, because
            its ``${…}`` contains another string.
    """
    line, place, before = 1, 0, ""
    while match := _TOKEN.match(text, place):
        kind, piece = match.lastgroup or "", match[0]
        if nested and piece.startswith("/*"):
            piece = text[place : _end_of_comment(text, place, line)]
        elif regex and before in _BEFORE_REGEX and (found := _REGEX.match(text, place)):
            kind, piece = "regex", found[0]
        place += len(piece)
        if kind in {"string", "raw", "verbatim"}:
            yield _string(match[kind], line, kind)
        elif kind in {"word", "mark"}:
            yield Token(cast("Kind", kind), piece, line)
        elif kind == "open":  # continuing would search for the end repeatedly
            raise FormatError(f"line {line}: the literal or comment {piece} is not closed")
        if kind not in {"space", "comment"}:
            before = "=>" if before + piece == "=>" else piece
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


def _string(literal: str, line: int, kind: str) -> Token:
    """Return the token of a string literal, without its prefix.

    ``kind`` is ``raw`` and ``verbatim`` if a backslash in it is an ordinary character. Raises
    ``FormatError`` if the literal may be only the beginning of one: a quote in its ``${…}`` would
    begin another string, and code that isn't run would be read, or the reverse.
    """
    quotes = 3 if literal[:3] in {'"""', "'''"} and len(literal) >= 6 else 1
    inside = literal[quotes:-quotes]
    if kind == "raw":
        return Token("string", inside, line)
    if kind == "verbatim":
        return Token("string", inside, line, computed='""' in inside)
    if "${" in _TEMPLATE.sub("", inside) or (literal[0] == "`" and inside.endswith("\\")):
        raise _computed(inside, line)
    return Token("string", inside, line, computed="\\" in inside or "${" in inside)


def _computed(text: str, line: int) -> FormatError:
    return FormatError(
        f"line {line}: the string {text[:40]!r} is computed",
        fix="write it literally, without escapes",
    )


def is_mark(pieces: list[Token], place: int, mark: str) -> bool:
    """Return True if the token with the index ``place`` exists and is this punctuation mark."""
    return 0 <= place < len(pieces) and (pieces[place].kind, pieces[place].text) == ("mark", mark)


def read_table(source: Source, *, nested: bool = False, regex: bool = False) -> ParsedFile:
    """Parse the table of policies in exported source code. Raises ``FormatError``.

    ``nested`` and ``regex`` are those of ``tokens``.
    """
    name, version = read_header(source.text)
    pieces = list(tokens(source.text, nested=nested, regex=regex))
    hosts = tuple(found(each) for each in _rows(pieces))
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
            values.append(token.value())
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
