"""Where the tables of pins stand in the text of a pin file, and the text with one of them changed.

Lines are looked at, not parsed: what looks like a table inside a text of several lines is taken for
one. Whoever uses this proves afterwards that the file means what it should (``editor``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEADER = re.compile(r"\s*\[{1,2}\s*([^\[\]#]+?)\s*\]{1,2}")
_SPELLING = re.compile(r"[\s\"']")
_EMPTY = re.compile(r"\s*(?:#.*)?")
_COMMENT = re.compile(r"\s*#")
_STRING = r"""(?:"(?:[^"\\]|\\.)*"|'[^']*')"""


@dataclass(frozen=True)
class Span:
    """The lines of a table, from its header to the last that says something."""

    first: int
    end: int  # the line behind the last


class Lines:
    """The text of a pin file, line by line."""

    def __init__(self, text: str) -> None:
        self._newline = "\r\n" if "\r\n" in text else "\n"
        self._lines = text.split("\n")

    def pins(self, host: int) -> list[Span]:
        """The tables ``[[host.pin]]`` of the host with this index, in their order."""
        found, at = [], -1
        for name, span in self._tables():
            at += name == "host"
            if at == host and name == "host.pin":
                found.append(span)
        return found

    def _tables(self) -> Iterator[tuple[str, Span]]:
        """Yield the name of each table in the order of the file, and its lines."""
        headers = [
            (number, _SPELLING.sub("", match[1]))
            for number, line in enumerate(self._lines)
            if (match := _HEADER.match(line))
        ]
        ends = [number for number, _ in headers[1:]] + [len(self._lines)]
        for (first, name), end in zip(headers, ends, strict=True):
            yield name, Span(first, self._last(first, end))

    def without_tables(self, name: str) -> str:
        """Return the text without any table of this name, those inside it, and their comments.

        A comment belongs to the table below it if no empty line is between them.
        """
        kept = list(self._lines)
        for found, span in reversed(list(self._tables())):
            if found != name and not found.startswith(f"{name}."):
                continue
            first = span.first
            while first and _COMMENT.match(kept[first - 1]):
                first -= 1
            if first and not kept[first - 1].strip():
                first -= 1
            del kept[first : span.end]
        return "\n".join(kept)

    def with_value(self, span: Span, key: str, value: str) -> str:
        """The text with a string of a table replaced, or added behind its first line."""
        written = re.compile(rf"""(\s*(["']?){re.escape(key)}\2\s*=\s*){_STRING}""")
        lines = list(self._lines)
        for number in range(span.first + 1, span.end):
            if match := written.match(lines[number]):
                lines[number] = match[1] + value + lines[number][match.end() :]
                return "\n".join(lines)
        indent = re.match(r"\s*", lines[span.end - 1])
        added = f"{indent[0] if indent else ''}{key} = {value}"
        return self._with(span.end, [added])

    def with_table(self, after: Span, table: str) -> str:
        """The text with a table behind another one, and an empty line between them."""
        return self._with(after.end, ["", *table.rstrip("\n").split("\n")])

    def without(self, span: Span) -> str:
        """The text without a table, and without the empty line before it."""
        first = span.first
        if first and not self._lines[first - 1].strip():
            first -= 1
        return "\n".join(self._lines[:first] + self._lines[span.end :])

    def _with(self, at: int, added: list[str]) -> str:
        end = self._newline.removesuffix("\n")
        lines = list(self._lines)
        if at == len(lines):  # the last line has no end
            lines[-1] += end
            return "\n".join([*lines, *(line + end for line in added[:-1]), added[-1]])
        return "\n".join([*lines[:at], *(line + end for line in added), *lines[at:]])

    def _last(self, first: int, end: int) -> int:
        """The line behind the last that says something: comments below belong to what follows."""
        while end > first + 1 and _EMPTY.fullmatch(self._lines[end - 1]):
            end -= 1
        return end
