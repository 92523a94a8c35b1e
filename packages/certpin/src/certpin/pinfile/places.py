"""Find the lines of TOML keys and comments in the text of a pin file, for errors and for lint.

The text is scanned once, in linear time even if it is hostile. The result is meaningful only for
valid TOML.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

# Possessive, so that a hostile text takes only one pass, and without branches in a possessive
# group, which Python 3.11.2 cannot match.
_TOKEN = re.compile(
    r"""
      (?P<string> \"{3}[^"\\]*+(?:\\.[^"\\]*+)*+
                     (?:(?="{1,2}+[^"])"++[^"\\]*+(?:\\.[^"\\]*+)*+)*+"{3,5}
                | '{3}[^']*+(?:(?='{1,2}+[^'])'++[^']*+)*+'{3,5}
                | "[^"\\\n]*+(?:\\.[^"\\\n]*+)*+" | '[^'\n]*+' )
    | (?P<comment> \#[^\n]*+ )
    | (?P<newline> \n )
    | (?P<opens> [\[{] )
    | (?P<closes> [\]}] )
    | (?P<other> [^"'\#\n\[\]{}]++ | . )
    """,
    re.VERBOSE | re.DOTALL,
)
# The pattern of one part of a dotted TOML key.
KEY_PART = r"""(?:[\w-]++|"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+"|'[^'\n]*+')"""
_KEY = rf"{KEY_PART}(?:[ \t]*+\.[ \t]*+{KEY_PART})*"
_HEADER = re.compile(rf"\s*+(\[\[?)[ \t]*+({_KEY})[ \t]*+\]", re.ASCII)
_ASSIGNMENT = re.compile(rf"\s*+({_KEY})[ \t]*+=", re.ASCII)
_NAME = re.compile(KEY_PART, re.ASCII)


class Comment(NamedTuple):
    """A comment in a TOML text.

    Attributes:
        text: the text of the comment, without the ``#``.
        alone: True if the line contains only the comment.
    """

    text: str
    alone: bool


class _Statement(NamedTuple):
    """A table header or an assignment in a TOML text.

    Attributes:
        number: the number of its first line, from 1.
        text: its text, which may have several lines.
        tables: the line numbers of the inline tables, if the value is an array of inline tables.
    """

    number: int
    text: str
    tables: tuple[int, ...]


class Places:
    """The line numbers (from 1) of the TOML keys and comments in a TOML text.

    A TOML key is written in full, such as ``host[2].pin[0].role``.
    """

    def __init__(self, text: str) -> None:
        self._text = text

    def line(self, key: str) -> int | None:
        """Return the line of a TOML key, or the line of the table around it if the key is missing.

        Return ``None`` if the text has neither.
        """
        while key:
            if key in self._lines:
                return self._lines[key]
            key = key[: max(key.rfind("."), key.rfind("["), 0)]
        return None

    def reason(self, line: int) -> str:
        """Return the comments that justify the setting on a line; empty if there are none.

        These are the comment on the line itself, and the one on the line above if that line has
        only a comment. Lint rules accept them as the reason for the setting. Comments that begin
        with ``certpin:`` are left out.
        """
        near = (self.comments.get(line), self.comments.get(line - 1))
        words = (each.text for at, each in enumerate(near) if each and (each.alone or not at))
        return " ".join(text for text in words if not text.startswith("certpin:"))

    @property
    def comments(self) -> dict[int, Comment]:
        """The comments of the TOML text, by their line numbers."""
        return self._read[1]

    @property
    def _lines(self) -> dict[str, int]:
        return self._read[0]

    @cached_property
    def _read(self) -> tuple[dict[str, int], dict[int, Comment]]:
        comments: dict[int, Comment] = {}
        lines: dict[str, int] = {}
        table, counts = "", dict[str, int]()
        for line in _statements(self._text, comments):
            if header := _HEADER.match(line.text):
                table = _table(header[2], counts, many=header[1] == "[[")
                for key in _with_parents(table):
                    lines.setdefault(key, line.number)
                lines.setdefault(re.sub(r"\[\d+\]\Z", "", table), line.number)
            elif assignment := _ASSIGNMENT.match(line.text):
                key = table
                for name in _names(assignment[1]):  # a dotted key implies the tables above it
                    key = f"{key}.{name}" if key else name
                    lines.setdefault(key, line.number)
                lines.update({f"{key}[{at}]": each for at, each in enumerate(line.tables)})
        return lines, comments


def line_of(text: str, key: str) -> int | None:
    """Return the line (from 1) of a TOML key such as ``host[2].pin[0].role``.

    If the text doesn't have the key, return the line of the table around it. Return ``None`` if the
    text has neither.
    """
    return Places(text).line(key)


def _statements(text: str, comments: dict[int, Comment]) -> Iterator[_Statement]:
    """Yield the headers and assignments of a TOML text.

    The comments of the text are added to ``comments``, by their line numbers.
    """
    number, first, begin, depth = 1, 1, 0, 0
    tables: list[int] = []
    for token in _TOKEN.finditer(text + "\n"):
        kind = token.lastgroup
        if kind == "opens":
            if depth == 1 and token[0] == "{":
                tables.append(number)
            depth += 1
        elif kind == "closes":
            depth = max(depth - 1, 0)
        elif kind == "comment":
            comments[number] = _comment(text, token.start(), token[0])
        elif kind == "newline" and depth == 0:
            yield _Statement(first, text[begin : token.start()], tuple(tables))
            first, begin, tables = number + 1, token.end(), []
        number += token[0].count("\n")


def _comment(text: str, start: int, comment: str) -> Comment:
    before = text[text.rfind("\n", 0, start) + 1 : start]
    return Comment(comment.lstrip("#").strip(), not before.strip())


def _table(header: str, counts: dict[str, int], *, many: bool) -> str:
    """Return the full key of the table that a TOML header begins, such as ``host[2].pin[0]``.

    Args:
        header: the dotted name in the header.
        counts: for each array of tables, the index of its last table so far. It is updated.
        many: True for a header in double brackets, which adds a table to an array.
    """
    key, names = "", _names(header)
    for at, name in enumerate(names, 1):
        key = f"{key}.{name}" if key else name
        if many and at == len(names):
            counts[key] = counts.get(key, -1) + 1
        if key in counts:
            key = f"{key}[{counts[key]}]"
    return key


def _with_parents(table: str) -> Iterator[str]:
    """Yield the full keys of a table and of the tables around it: ``a.b``, then ``a``.

    A header ``[a.b]`` also defines ``a``, so its line is that of both keys.
    """
    while table:
        yield table
        table = table.rpartition(".")[0]


def _names(key: str) -> list[str]:
    return [name.strip("\"'") for name in _NAME.findall(key)]
