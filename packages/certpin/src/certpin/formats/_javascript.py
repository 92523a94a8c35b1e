"""The parts of JavaScript that depend on the code before them, such as regular expressions.

A ``/`` divides, or begins a regular expression (ECMA-262, section 12.9.5). After a wrong guess,
code could be read as a string or a comment, or the other way round: if that is possible, an unclear
``/`` raises ``FormatError``.
"""

from __future__ import annotations

import re
from typing import Literal

from certpin.errors import FormatError

# The bounds keep the run time linear.
_REGEX = re.compile(
    r"""
    / (?![*/])
    (?: (?=[^/\n]) [^\\/\[\n]*+ (?:\\[^\n])?+
        (?:\[ [^\]\\\n]{0,99}+ (?:\\.[^\]\\\n]{0,9}+){0,9}+ \])?+ )+
    / [a-z]*+
    """,
    re.VERBOSE,
)
_CLOSED = re.compile(r"/[^/\n]*+/")  # a second `/` in the same line
_BEGINS_OTHERS = re.compile("['\"`]|/[/*]")  # strings and comments

# The meaning of a `/` after a token.
_Slash = Literal["regex", "divides", "unclear"]

_BEFORE_VALUE = frozenset(
    {
        *("return", "typeof", "case", "in", "instanceof", "void", "delete", "throw", "new"),
        "default",
    }
)
_KEYWORDS = _BEFORE_VALUE | {"else", "do"}
_CONTEXTUAL = frozenset({"of", "await", "yield"})  # keywords, or names
_STATEMENTS = frozenset({"if", "while", "for", "with"})
# Marks before the bracket of an object, or of an expression in JSX.
_BEFORE_OBJECT = frozenset(">=(,[?&|+-*%^~<!/") | {"..."}
_DOUBLE = frozenset({"=>", "++", "--", "..", "..."})


class Slashes:
    """Decides for each ``/`` of JavaScript code whether it begins a regular expression."""

    def __init__(self) -> None:
        self._slash: _Slash = "regex"
        self._before = ""  # the last token; a property counts as an empty one
        self._line = 0
        self._open: list[_Slash] = []  # the meaning after the end of each open bracket

    def regex(self, text: str, place: int, line: int) -> str:
        """Return the regular expression that begins at a ``/``; an empty text if the ``/`` divides.

        A ``/`` next to ``<`` or ``>`` is part of JSX.

        Args:
            text: the code.
            place: the index of the ``/``.
            line: its line.

        Raises:
            FormatError: the meaning of the ``/`` is unclear, or the end of the regular expression.
        """
        if self._slash == "divides" or (self._before in {"<", ">"} and text[place - 1] in "<>"):
            return ""
        found = _REGEX.match(text, place)
        if found is None and _CLOSED.match(text, place):
            raise _unclear("/", line)
        if found is None:
            return ""
        rest = text[place : found.end() + 1]
        if self._slash == "unclear" and _BEGINS_OTHERS.search(rest):
            raise _unclear("/", line)
        return found[0]

    def refuse_html(self, text: str, place: int, line: int) -> None:
        """Raise ``FormatError`` if a comment of HTML begins at a token.

        Such a comment ends with its line in scripts, but not in modules (ECMA-262, section B.1.1).

        Args:
            text: the code.
            place: the index of the token in the code.
            line: its line.
        """
        if text.startswith("<!--", place):
            raise _unclear("<!--", line)
        if text.startswith("-->", place) and line > self._line:
            raise _unclear("-->", line)

    def add(self, kind: str, piece: str, *, joined: bool, line: int) -> None:
        """Take note of a token of the code, because it decides the meaning of the next ``/``.

        Spaces and comments are left out.

        Args:
            kind: its kind: "mark", "word", "regex", or that of another literal.
            piece: its text.
            joined: True if no space or comment is between it and the token before it.
            line: the line in which it begins.
        """
        if kind == "mark":
            self._slash = self._after_mark(piece, joined=joined, line=line)
            double = self._before + piece
            self._before = double if joined and double in _DOUBLE else piece
        elif kind == "word" and self._before != ".":
            is_unclear = piece in _CONTEXTUAL
            self._slash = "unclear" if is_unclear else "regex" if piece in _KEYWORDS else "divides"
            self._before = piece
        else:
            # After an unclear `/`, the next one is unclear, too.
            is_unclear = kind == "regex" and self._slash == "unclear"
            self._slash = "unclear" if is_unclear else "divides"
            self._before = ""
        self._line = line + piece.count("\n")

    def _after_mark(self, mark: str, *, joined: bool, line: int) -> _Slash:
        if mark in {"(", "[", "{"}:
            self._open.append(self._after_bracket(mark))
            return "regex"
        if mark in {")", "]", "}"}:
            return self._open.pop() if self._open else "unclear"
        if joined and self._before + mark in {"++", "--"}:
            return "divides"  # a regular expression has no `++` before it
        if mark == "!" and line == self._line:
            return self._slash  # `value!` in TypeScript, or a negation
        return "unclear" if mark == ">" and not (joined and self._before == "=") else "regex"

    def _after_bracket(self, opening: str) -> _Slash:
        """Return the meaning of a ``/`` directly after a pair of brackets.

        It is ``divides``, ``regex`` (a regular expression begins) or ``unclear``. The method is
        called when the pair begins, and ``opening`` is its first bracket, such as ``(``.
        """
        before = self._before
        if opening == "(" and before in _STATEMENTS:
            return "regex"
        if opening == "(" and before == "await":  # `for await (…)`, or an operator
            return "unclear"
        if opening != "{" or before in _BEFORE_OBJECT:
            return "divides"
        if before in _BEFORE_VALUE or (before == "}" and self._slash == "divides"):
            return "divides"
        return "unclear"  # of a block, a class or a function


def _unclear(mark: str, line: int) -> FormatError:
    return FormatError(
        f"line {line}: it is unclear what {mark} means in this code",
        fix="move the pins into another file, without this code",
    )
