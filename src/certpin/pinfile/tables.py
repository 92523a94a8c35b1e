"""Where the tables of pins stand in the text of a pin file, and the text with one of them changed.

Lines are looked at, not parsed: what looks like a table inside a text of several lines is taken for
one. Whoever uses this proves afterwards that the file means what it should (``editor``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_HEADER = re.compile(r"\s*\[{1,2}\s*([^\[\]#]+?)\s*\]{1,2}")
_SPELLING = re.compile(r"[\s\"']")
_EMPTY = re.compile(r"\s*(?:#.*)?")
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
        headers = [
            (number, _SPELLING.sub("", match[1]))
            for number, line in enumerate(self._lines)
            if (match := _HEADER.match(line))
        ]
        ends = [number for number, _ in headers[1:]] + [len(self._lines)]
        found, at = [], -1
        for (first, name), end in zip(headers, ends, strict=True):
            at += name == "host"
            if at == host and name == "host.pin":
                found.append(Span(first, self._last(first, end)))
        return found

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
