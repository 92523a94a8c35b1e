"""Run the pure parts of the Dart library here, where there is no Dart.

The files that decide (``FILES``) keep to a small part of the language, in which each statement says
the same in Python. They are turned into Python token by token and run, so that what the tests try
is the shipped text itself, and no copy of it. Anything else in them raises ``SyntaxError``: the
check never passes by leaving something out. A file sees the public names of those that it imports,
as in Dart.

What this takes for granted: that these statements mean in Dart what they mean here (integers stay
far below 64 bits), and that ``_runtime`` and ``_packages`` do what the libraries of Dart do.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from tests.formats.flutter import _classes, _packages
from tests.formats.flutter._expressions import expression, halves, split

if TYPE_CHECKING:
    from collections.abc import Iterator

_TOKEN = re.compile(
    r"""
      (?P<skip>   \s+ | //[^\n]* )
    | (?P<string> '(?:[^'\\\n]|\\[n\\])*' )
    | (?P<number> 0x[0-9a-f]+ | [0-9]+ )
    | (?P<word>   [A-Za-z_][A-Za-z0-9_]* )
    | (?P<mark>   && | \|\| | == | != | <= | >= | << | \+= | [-+*<>=!()\[\]{}.,;:?@] )
    """,
    re.VERBOSE,
)
# Of the library: those that are run here.
FILES = (
    *("policy.dart", "der.dart", "digests.dart", "hosts.dart", "verdict.dart", "rate.dart"),
    *("signed_json.dart", "signed_keys.dart", "signed_metadata.dart", "signed_roles.dart"),
    *("signed_policies.dart", "signed_pins.dart", "signed_trust.dart"),
    *("signed_refresh.dart", "signed_state.dart"),
)


def load(name: str) -> dict[str, Any]:
    """The functions and constants of a file of the library, by their Dart names."""
    return dict(_loaded(name))


def source_of(name: str) -> str:
    """The text of a file of the library."""
    return files("certpin.formats.flutter").joinpath("dart", name).read_text(encoding="utf-8")


@cache
def _loaded(name: str) -> dict[str, Any]:
    return run(source_of(name), name)


def run(source: str, name: str = "dart") -> dict[str, Any]:
    """The same, from Dart."""
    space = dict(_packages.NAMES)
    for other in re.findall(r"^import '(\w+\.dart)';", source, re.MULTILINE):
        if other in FILES:
            space |= {key: each for key, each in _loaded(other).items() if key[0] != "_"}
    exec(compile(to_python(source), f"<{name}>", "exec"), space)
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
                case "library" | "import" | "typedef":
                    self._until(";")
                case "const":
                    name, value = halves(self._until(";")[1:])
                    yield f"{name[-1]} = {expression(value)}"
                case "enum":
                    yield from self._enumeration()
                case "final" | "interface":
                    yield from self._class()
                case _:
                    yield from self._function()

    def _enumeration(self) -> Iterator[str]:
        [_, name] = self._until("{")
        yield f"class {name}:"
        for member in split(self._until("}")):
            [word] = member
            yield f"    {word} = {word!r}"

    def _class(self) -> Iterator[str]:
        head = self._until("{")
        yield from _classes.lines(head, self._inside("{", "}"))

    def _function(self) -> Iterator[str]:
        if self._pieces[self._at] == "(":  # it returns a record
            self._bracket()
        name = self._until("(")[-1]
        self._at -= 1
        parameters = ", ".join(each[-1] for each in split(self._bracket()))
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
        if first == "try":
            yield from self._attempt(indent)
            return
        if first in {"if", "while", "for"}:
            self._at += 1
            head = self._bracket()
            if first == "for":
                head = _expect_start(head, "final")
                yield f"{indent}for {head[0]} in {expression(_expect_start(head[1:], 'in'))}:"
            else:
                yield f"{indent}{first} {expression(head)}:"
            self._expect("{")
            yield from self._block(indent + "    ")
            return
        yield indent + _simple(self._until(";"))

    def _attempt(self, indent: str) -> Iterator[str]:
        """A ``try`` with one ``on``, which does not look at what it caught."""
        self._at += 1
        self._expect("{")
        yield f"{indent}try:"
        yield from self._block(indent + "    ")
        self._expect("on")
        [kind] = self._until("{")
        yield f"{indent}except {kind}:"
        yield from self._block(indent + "    ")

    def _bracket(self) -> list[str]:
        """What stands in the round brackets that open here."""
        self._expect("(")
        return self._inside("(", ")")

    def _inside(self, opening: str, closing: str) -> list[str]:
        """What stands up to the bracket that closes; behind it is the next place."""
        start, depth = self._at, 1
        while depth:
            depth += {opening: 1, closing: -1}.get(self._pieces[self._at], 0)
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
            return f"return {expression(value)}"
        case ["throw", *value]:
            return f"raise {expression(value)}"
        case ["final" | "var", *rest]:
            name, value = halves(rest)
            return f"{expression(name)} = {expression(value)}"
    for mark in ("=", "+="):
        if mark in pieces:
            name, value = halves(pieces, mark)
            return f"{expression(name)} {mark} {expression(value)}"
    return expression(pieces)


def _expect_start(pieces: list[str], word: str) -> list[str]:
    if pieces[0] != word:
        raise SyntaxError(f"{word} was expected, not {pieces[0]}")
    return pieces[1:]
