"""Find the builder and the branch of calls in Java and Kotlin code.

A pin file has one list of pins for a host, but code can have several: of a builder for debug
builds, or in a branch. This is no parser of these languages: it knows brackets, chains of calls,
and the words before a block. The run time is linear in the number of tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from certpin.formats.code import is_mark

if TYPE_CHECKING:
    from collections.abc import Iterable

    from certpin.formats.code import Token

_CLOSING = {")": "(", "]": "[", "}": "{"}
_CHOICES = frozenset({"if", "when", "switch"})
# Kotlin's functions that run their block exactly once. ``with`` has the receiver in brackets.
_SCOPES = frozenset({"apply", "also", "run", "let", "with"})

# Tokens before an expression that are read: enough for a declaration with its type, and few enough
# that hostile code takes linear time.
_MAX_TARGET = 32


@dataclass(frozen=True)
class CallSite:
    """The place of a call: calls with equal builder and branch are always made together.

    Attributes:
        builder: the token index at which the builder is made, or the name of its variable; -1 if
            there is only one builder, or if the call names none.
        branch: the token index of the innermost block or branch; -1 if there is none.
        conditional: True if the branch is a part of ``if``, ``when``, ``switch`` or ``?:``.
    """

    builder: int | str = -1
    branch: int = -1
    conditional: bool = False


@dataclass(frozen=True)
class _Bracket:
    """An open bracket: its token index, the start of the call before it, and the site inside.

    ``guarded`` is True if the call itself is a branch, as in ``if (debug) f(…)``.
    """

    place: int
    callee: int
    site: CallSite
    guarded: bool = False
    chooses: bool = False  # whether it is the block of `when` or `switch`


def call_sites(pieces: list[Token], calls: Iterable[int]) -> dict[int, CallSite]:
    """Return the site of each call, by the token index of its name in ``pieces``."""
    code = _Code(pieces)
    wanted = set(calls)
    found = {}
    for place in range(len(pieces)):
        code.step(place)
        if place in wanted:
            found[place] = code.site(place)
    return found


class _Code:
    """Code that is read token by token, with its open brackets and the builders so far."""

    def __init__(self, pieces: list[Token]) -> None:
        self._pieces = pieces
        self._several = sum(self._makes_builder(place) for place in range(len(pieces))) > 1
        self._starts: list[int] = []  # for each token, the start of the chain that ends with it
        self._heads: dict[int, str] = {}  # for each closing bracket, the word before its opening
        self._open = [_Bracket(-1, -1, CallSite())]
        self._made: set[int] = set()  # the starts of the chains that make a builder
        self._variables: dict[str, int] = {}  # the last builder in each variable

    def step(self, place: int) -> None:
        """Read the token with this index. Each token is read once, in order."""
        token = self._pieces[place]
        start = place
        if token.kind == "word" and is_mark(self._pieces, place - 1, "."):
            start = self._receiver(place)
        elif token.kind == "mark" and token.text in _CLOSING and len(self._open) > 1:
            bracket = self._open.pop()
            start = bracket.callee
            self._heads[place] = self._text(bracket.place - 1)
        self._starts.append(start)
        if self._several and self._makes_builder(place):
            self._made.add(start)
            if name := self._assigned(start):
                self._variables[name] = start
        if token.kind == "mark" and token.text in _CLOSING.values():
            self._open.append(self._bracket(place))

    def site(self, place: int) -> CallSite:
        """Return the site of a call. Its name is the last token that was read."""
        start = self._starts[place]
        site = self._at(start)
        if not self._several or start == place:
            return site
        name = self._text(start)
        builder = start if start in self._made else self._variables.get(name, name)
        return replace(site, builder=builder)

    def _at(self, start: int) -> CallSite:
        """Return the site of the expression that starts here, apart from its builder."""
        inside = self._open[-1].site
        if not self._is_guarded(start):
            return inside
        if self._text(self._before(start)) in {"(", ","}:
            return inside  # the argument of a call in a branch: the site of this call
        return CallSite(branch=start, conditional=True)

    def _is_guarded(self, start: int) -> bool:
        """Return True if an expression is a branch itself, and not the block of one."""
        place = self._before(start)
        text = self._text(place)
        if text in {"(", ","}:
            return self._open[-1].guarded
        if text == ">" and self._text(place - 1) == "-":
            return self._open[-1].chooses  # otherwise it is the arrow of a lambda
        return text in {"else", "?", ":", "&", "|"} or self._heads.get(place) == "if"

    def _before(self, start: int) -> int:
        """Return the index of the token before an expression, `return` and an assignment."""
        place = start - 1
        line = None  # of an equals sign
        for _ in range(_MAX_TARGET):
            if line is not None and self._is_target(place, line):
                place -= 1
            elif is_mark(self._pieces, place, "="):
                line = self._pieces[place].line
                place -= 1
            elif self._text(place) in {"return", "new"}:
                place -= 1
            else:
                break
        return place

    def _is_target(self, place: int, line: int) -> bool:
        """Return True if a token can be a part of the declaration before an equals sign."""
        if place < 0 or self._pieces[place].line != line:
            return False
        text = self._text(place)
        return text in {".", ":"} or (self._pieces[place].kind == "word" and text != "else")

    def _bracket(self, place: int) -> _Bracket:
        outer = self._open[-1]
        before = self._text(place - 1)
        called = place > 0 and (self._pieces[place - 1].kind == "word" or before in _CLOSING)
        callee = self._starts[place - 1] if called else place
        at = self._at(callee)
        if self._pieces[place].text != "{":
            return _Bracket(place, callee, at, guarded=self._is_guarded(callee))
        head = self._heads.get(place - 1, before)
        if head in _SCOPES and not self._several:
            return _Bracket(place, callee, at)
        arm = before == ">" and self._text(place - 2) == "-" and outer.chooses
        conditional = at.conditional or arm or head == "else" or head in _CHOICES
        site = CallSite(branch=place, conditional=conditional)
        return _Bracket(place, callee, site, chooses=head in {"when", "switch"})

    def _receiver(self, place: int) -> int:
        """Return the start of the chain to which the word after a dot belongs."""
        before = place - 2
        while before >= 0 and self._text(before) in {"?", "!"}:  # of Kotlin's ?. and !!.
            before -= 1
        return self._starts[before] if before >= 0 else place

    def _makes_builder(self, place: int) -> bool:
        if self._text(place) != "Builder" or not is_mark(self._pieces, place + 1, "("):
            return False
        return self._text(place - 1) != "." or self._text(place - 2) == "CertificatePinner"

    def _assigned(self, start: int) -> str:
        """Return the variable that gets the value of an expression; empty if there is none."""
        place = start - 1
        if self._text(place) == "new":
            place -= 1
        if not is_mark(self._pieces, place, "="):
            return ""
        line, name = self._pieces[place].line, self._text(place - 1)
        for target in range(place - 1, place - _MAX_TARGET, -1):
            if not self._is_target(target, line):
                break
            if self._text(target) == ":":  # of Kotlin's `val name: Type =`
                return self._text(target - 1)
        return name

    def _text(self, place: int) -> str:
        """Return the text of a word or a mark; empty for a string, and outside of the code."""
        if not 0 <= place < len(self._pieces) or self._pieces[place].kind == "string":
            return ""
        return self._pieces[place].text
