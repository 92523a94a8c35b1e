"""Run the pure parts of the Dart library here, where there is no Dart.

The files that decide (der, hosts, verdict, rate) keep to a small part of the language, in which
each statement says the same in Python. They are turned into Python token by token and run, so that
what the tests try is the shipped text itself, and no copy of it. Anything else in them raises
``SyntaxError``: the check never passes by leaving something out.

What this takes for granted: that these statements mean in Dart what they mean here (integers stay
far below 64 bits), and that ``_runtime`` does what ``dart:core`` does.
"""

from __future__ import annotations

import re
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from tests.formats.flutter import _runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

_TOKEN = re.compile(
    r"""
      (?P<skip>   \s+ | //[^\n]* )
    | (?P<string> '(?:[^'\\\n])*' )
    | (?P<number> 0x[0-9a-f]+ | [0-9]+ )
    | (?P<word>   [A-Za-z_][A-Za-z0-9_]* )
    | (?P<mark>   && | \|\| | == | != | <= | >= | << | \+= | [-+*<>=!()\[\]{}.,;?] )
    """,
    re.VERBOSE,
)
_WORDS = {"null": "None", "true": "True", "false": "False", "const": ""}
_MARKS = {"&&": "and", "||": "or", "!": "not"}
# In an expression these would mean something else in Python, or nothing.
_FOREIGN = {"?", ";", "{", "}", "=", "+="}
_NEVER = {"is", "as", "await", "async", "switch", "case", "late", "new", "final", "var", "in", "or"}


def load(name: str) -> dict[str, Any]:
    """The functions and constants of a file of the library, by their Dart names."""
    source = files("certpin.formats.flutter").joinpath("dart", name).read_text(encoding="utf-8")
    return run(source)


def run(source: str) -> dict[str, Any]:
    """The same, from Dart."""
    space = dict(_runtime.NAMES)
    exec(compile(to_python(source), "<dart>", "exec"), space)
    return space


def to_python(source: str) -> str:
    """The same program in Python. Raises ``SyntaxError`` outside of the part that is known."""
    return "\n".join(_Program(list(_pieces(source))).lines()) + "\n"


def _pieces(source: str) -> Iterator[str]:
    place = 0
    while place < len(source):
        match = _TOKEN.match(source, place)
        if match is None:
            raise SyntaxError(f"not in this part of Dart: {source[place : place + 30]!r}")
        if match.lastgroup != "skip":
            yield match[0]
        place = match.end()


class _Program:
    def __init__(self, pieces: list[str]) -> None:
        self._pieces = pieces
        self._at = 0

    def lines(self) -> Iterator[str]:
        """Directives, constants, enumerations and functions."""
        while self._at < len(self._pieces):
            match self._pieces[self._at]:
                case "library" | "import":
                    self._until(";")
                case "const":
                    name, value = _halves(self._until(";")[1:])
                    yield f"{name[-1]} = {_expression(value)}"
                case "enum":
                    yield from self._enumeration()
                case _:
                    yield from self._function()

    def _enumeration(self) -> Iterator[str]:
        [_, name] = self._until("{")
        yield f"class {name}:"
        for member in _split(self._until("}")):
            [word] = member
            yield f"    {word} = {word!r}"

    def _function(self) -> Iterator[str]:
        if self._pieces[self._at] == "(":  # it returns a record
            self._bracket()
        name = self._until("(")[-1]
        self._at -= 1
        parameters = ", ".join(each[-1] for each in _split(self._bracket()))
        self._expect("{")
        yield f"def {name}({parameters}):"
        yield from self._block("    ")

    def _block(self, indent: str) -> Iterator[str]:
        empty = True
        while self._pieces[self._at] != "}":
            empty = False
            yield from self._statement(indent)
        self._expect("}")
        if empty:
            yield f"{indent}pass"

    def _statement(self, indent: str) -> Iterator[str]:
        first = self._pieces[self._at]
        if first in {"if", "while", "for"}:
            self._at += 1
            head = self._bracket()
            if first == "for":
                head = _expect_start(head, "final")
                yield f"{indent}for {head[0]} in {_expression(_expect_start(head[1:], 'in'))}:"
            else:
                yield f"{indent}{first} {_expression(head)}:"
            self._expect("{")
            yield from self._block(indent + "    ")
            return
        yield indent + _simple(self._until(";"))

    def _bracket(self) -> list[str]:
        """What stands in the round brackets that open here."""
        self._expect("(")
        start, depth = self._at, 1
        while depth:
            depth += {"(": 1, ")": -1}.get(self._pieces[self._at], 0)
            self._at += 1
        return self._pieces[start : self._at - 1]

    def _until(self, mark: str) -> list[str]:
        if mark not in self._pieces[self._at :]:
            raise SyntaxError(f"{mark} was expected behind {self._pieces[self._at]}")
        end = self._pieces.index(mark, self._at)
        found = self._pieces[self._at : end]
        self._at = end + 1
        return found

    def _expect(self, mark: str) -> None:
        if self._pieces[self._at] != mark:
            raise SyntaxError(f"{mark} was expected, not {self._pieces[self._at]}")
        self._at += 1


def _simple(pieces: list[str]) -> str:
    match pieces:
        case ["return", *value]:
            return f"return {_expression(value)}"
        case ["throw", *value]:
            return f"raise {_expression(value)}"
        case ["final" | "var", *rest]:
            name, value = _halves(rest)
            return f"{_expression(name)} = {_expression(value)}"
    for mark in ("=", "+="):
        if mark in pieces:
            name, value = _halves(pieces, mark)
            return f"{_expression(name)} {mark} {_expression(value)}"
    return _expression(pieces)


def _expression(pieces: list[str]) -> str:
    for piece in pieces:
        if piece in _FOREIGN or piece in _NEVER:
            raise SyntaxError(f"not in this part of Dart: {piece} in {' '.join(pieces)}")
    return " ".join(filter(None, map(_translated, pieces)))


def _translated(piece: str) -> str:
    if piece.startswith("'"):
        return f"String({_interpolated(piece)})"
    return _WORDS.get(piece, _MARKS.get(piece, piece))


def _interpolated(literal: str) -> str:
    if "{" in literal or "}" in literal:
        raise SyntaxError(f"only names are interpolated: {literal}")
    return "f" + re.sub(r"\$([A-Za-z_]\w*)", r"{\1}", literal) if "$" in literal else literal


def _halves(pieces: list[str], mark: str = "=") -> tuple[list[str], list[str]]:
    place = pieces.index(mark)
    return pieces[:place], pieces[place + 1 :]


def _expect_start(pieces: list[str], word: str) -> list[str]:
    if pieces[0] != word:
        raise SyntaxError(f"{word} was expected, not {pieces[0]}")
    return pieces[1:]


def _split(pieces: list[str]) -> list[list[str]]:
    """The parts between commas, a last one for nothing left out. Types with `<` keep theirs."""
    parts: list[list[str]] = [[]]
    depth = 0
    for piece in pieces:
        depth += {"<": 1, ">": -1}.get(piece, 0)
        if piece == "," and depth == 0:
            parts.append([])
        else:
            parts[-1].append(piece)
    return [part for part in parts if part]
