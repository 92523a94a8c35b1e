"""Find which builder object and which branch each call in Java or Kotlin code belongs to.

A pin file has one list of pins for a host, but code can have several: one per builder object (for
example, of debug builds), or one per branch. An import must not mix these lists: clients could then
accept the key of a debug build. This module therefore computes the *site* of each call: its builder
and its branch. If the module can't show that two calls belong to the same builder and the same
branch, their sites are different.

In this module, a *place* is the index of a token in the code, a *chain* is an expression such as
``a.b(c).d``, and its *value* is the object that it returns. The module doesn't parse these
languages: it knows brackets, chains, assignments, and the words before a block. The run time is
linear in the number of tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from certpin.formats.code import is_mark

if TYPE_CHECKING:
    from collections.abc import Iterable

    from certpin.formats.code import Token

_CLOSING = {")": "(", "]": "[", "}": "{"}
_CHOICES = frozenset({"if", "when", "switch", "for", "while"})
_STATEMENTS = frozenset({"if", "for", "while"})  # their branch can be an expression
# Kotlin's functions that run their block exactly once: in the first, the builder is `this`, and in
# the second, the parameter. `with` has it in brackets.
_AS_THIS = frozenset({"apply", "run", "with"})
_AS_PARAMETER = frozenset({"also", "let"})
# Calls that return their object. Java's `apply(…)` is another function than Kotlin's `apply { … }`.
_SAME = frozenset({("add", ")"), ("apply", "}"), ("also", "}")})
_EXITS = frozenset({"return", "throw", "break", "continue"})
_DECLARATIONS = frozenset({"fun", "class"})

# Tokens before an expression that are read: enough for a declaration with its type, and few enough
# that hostile code takes linear time. Likewise the length of a name with its dots.
_MAX_TARGET = 32
_MAX_NAME = 200

# A builder: the name of a variable, or the token index at which an expression makes a new object.
_Builder = int | str


@dataclass(frozen=True)
class CallSite:
    """The builder and the branch of a call. Calls with equal sites are always made together.

    Attributes:
        branch: the token index at which the innermost block or branch around the call begins; -1 if
            there is none.
        conditional: True if the branch is a part of ``if``, ``when``, ``switch``, ``?:`` or a loop.
        builder: the object of which the call is a method: the name of its variable, or the index of
            the token at which the code creates it.
        after: the index of the last token before the call at which the code can leave the function
            (a ``return`` in a branch), or at which a ``fun`` or ``class`` begins; -1 if there is
            none. The code before this token can run without the call.
    """

    branch: int = -1
    conditional: bool = False
    builder: int | str = ""
    after: int = -1


@dataclass(frozen=True)
class _Bracket:
    """An open bracket.

    Attributes:
        place: the token index of the bracket.
        callee: if the bracket continues an expression, as in a call, the token index at which this
            expression begins; otherwise ``place``.
        site: the site (builder and branch) of the expressions inside the bracket.
        this: the object that ``this`` means inside the bracket.
        chooses: ``when`` or ``switch`` if the innermost block, which the bracket opens or is in,
            follows this word; else empty.
        receiver: if the bracket is in the block of a Kotlin scope function, the object of that
            function: ``b`` in ``b.apply { … }``; else None.
        shared: the site of the calls on ``receiver`` inside the block: that of the scope function,
            not that of the block.
        parameter: the name of ``receiver`` inside the block, such as ``it``; empty if it has none.
    """

    place: int
    callee: int
    site: CallSite
    this: _Builder
    chooses: str = ""
    receiver: _Builder | None = None
    shared: CallSite = CallSite()
    parameter: str = ""


def call_sites(pieces: list[Token], calls: Iterable[int], *, ternary: bool) -> dict[int, CallSite]:
    """Return the site of each call: its builder and its branch.

    Args:
        pieces: the tokens of the code.
        calls: the index of the token with the name of each call.
        ternary: True for Java, in which a colon can begin a branch: ``debug ? a : b``.

    Returns:
        The site of each call, by the index of the token with the call's name.
    """
    code = _Code(pieces, ternary=ternary)
    wanted = set(calls)
    found = {}
    for place in range(len(pieces)):
        code.step(place)
        if place in wanted:
            found[place] = code.site(place)
    return found


class _Code:
    """Reads code token by token, to find the builder and the branch of each call of a method.

    Call ``step`` for each token in order, and ``site`` after the token with the name of a call. The
    object keeps the open brackets, and the objects in the variables that it has read so far.
    """

    def __init__(self, pieces: list[Token], *, ternary: bool) -> None:
        self._pieces = pieces
        self._ternary = ternary
        self._open = [_Bracket(-1, -1, CallSite(), "this")]
        self._variables = _Variables()
        # For each token: the start of the chain that ends with it, the object that is the value of
        # this chain, and its name, if it is a variable.
        self._starts: list[int] = []
        self._values: list[_Builder] = []
        self._names: list[str] = []
        self._heads: dict[int, str] = {}  # for each closing bracket, the word before its opening
        self._exit = self._possible_exit = -1
        self._labelled = False  # whether the last `case` was read without its colon
        self._colons: set[int] = set()  # the token indexes of those of labels

    def step(self, place: int) -> None:
        """Read the token with the index ``place``, and record its brackets, variables and branches.

        Call it once for each token, in order.
        """
        value: _Builder = place
        start, name = place, ""
        if self._pieces[place].kind == "word":
            start, value, name = self._word(place)
            self._keyword(place)
        elif self._text(place) in _CLOSING and len(self._open) > 1:
            start, value = self._close(place)
        self._starts.append(start)
        self._values.append(value)
        self._names.append(name)
        self._variables.read(start, value)
        if self._text(place) in _CLOSING.values():
            self._open.append(self._bracket(place))
        elif self._text(place) == "=" and not self._is_comparison(place):
            self._assign(place)
        elif self._text(place) in {":", ">"} and self._labelled:  # or of `case DEBUG ->`
            self._colons.add(place)
            self._labelled = False

    def site(self, place: int) -> CallSite:
        """Return the builder object and the branch of the code to which a method call belongs.

        Call this after ``step`` has read the token with the name of the called method; ``place`` is
        the index of this token. If two calls have equal results, they are always made together, and
        on the same builder. An import may put their pins into one list only in this case.
        """
        builder = self._values[place]
        site = self._at(self._starts[place], builder)
        return replace(site, builder=builder, after=self._exit)

    def _word(self, place: int) -> tuple[int, _Builder, str]:
        """Return the start, the value and the name of the chain that ends with a word.

        A chain is an expression such as ``a.b(c).d``, and its value is the object that it returns.

        Args:
            place: the token index of the word.

        Returns:
            First the token index at which the chain begins. Second the value of the chain; but if
            the word is the name of a call, the object on which the call is made. Third the chain as
            the name of a variable, such as ``a.b``; empty if it is not a variable.
        """
        text = self._text(place)
        called = self._text(place + 1) in {"(", "{"}
        bracket = self._open[-1]
        if is_mark(self._pieces, place - 1, "."):
            before = place - 2
            while before >= 0 and self._text(before) in {"?", "!"}:  # of Kotlin's ?. and !!.
                before -= 1
            start, value = (self._starts[before], self._values[before]) if before >= 0 else (0, "")
            name = f"{value}.{text}"
        elif self._text(place - 1) == "@" and self._text(place - 2) == "this":
            start, value, name = place - 2, place, f"this@{text}"
        else:
            start, value, name = place, bracket.this, text
        if called or name == "this":
            return start, value, ""
        if bracket.receiver is not None and name == bracket.parameter:
            return start, bracket.receiver, ""
        if len(name) > _MAX_NAME:
            return start, place, ""
        return start, self._variables.value(name), name

    def _keyword(self, place: int) -> None:
        """Read the word at a token, and record what it means for the calls that follow it.

        After words that leave a block (``_EXITS``, such as ``return``), and after a label of a
        ``switch``, later calls belong to another branch of the code. After words that declare
        (``_DECLARATIONS``), the next name may be a parameter. All other words change nothing.

        Args:
            place: the index of the token.
        """
        word = self._text(place)
        if word in _EXITS:
            self._leave(place)
        elif word in _DECLARATIONS:  # the same name can be a parameter of it
            self._exit = self._possible_exit = place
        elif word in {"case", "default"} and self._open[-1].chooses == "switch":
            self._labelled = True
            site = CallSite(branch=place, conditional=True)
            self._open[-1] = replace(self._open[-1], site=site)

    def _close(self, place: int) -> tuple[int, _Builder]:
        """Close the innermost bracket, which ends at the token ``place``.

        Return the token index at which the chain (an expression such as ``a.b(c).d``) that ends
        there begins, and the object that this chain returns.
        """
        bracket = self._open.pop()
        head = self._heads[place] = self._text(bracket.place - 1)
        value: _Builder = place
        if self._text(place) == "}":
            self._exit = self._possible_exit
        if (head, self._text(place)) in _SAME:
            value = self._values[bracket.place - 1]
        elif head == "with" and self._starts[place - 1] == bracket.place + 1:
            value = self._values[place - 1]
        return bracket.callee, value

    def _leave(self, place: int) -> None:
        """Record that the code can leave the function at ``place``, as by a ``return`` in a branch.

        Code after this token doesn't always run, so calls before and after it get different sites.
        """
        if self._is_guarded(place):
            self._exit = self._possible_exit = place
        elif self._text(place) != "break" or not self._open[-1].chooses:  # the end of a `case`
            self._possible_exit = place

    def _assign(self, place: int) -> None:
        """Record the assignment to the variable before the equals sign at ``place``.

        Later calls on this variable then belong to the builder that was assigned.
        """
        if name := self._assigned(place):
            first = place + 2 if self._text(place + 1) == "new" else place + 1
            self._variables.assign(name, first)

    def _at(self, start: int, builder: _Builder | None = None) -> CallSite:
        """Return the builder and the branch of the expression that starts at the token ``start``.

        The branch is the innermost block, or part of a condition or loop, around the expression.
        ``builder`` is the object on which the expression calls a method; None if there is none, or
        if it is unknown. A call on the object of a Kotlin scope function has that function's site.
        """
        inside = self._open[-1].site
        if builder is not None and builder == self._open[-1].receiver:
            inside = self._open[-1].shared
        if self._is_guarded(start):
            return CallSite(branch=start, conditional=True)
        if self._is_function(start):
            return CallSite(branch=start, conditional=inside.conditional)
        return inside

    def _is_guarded(self, start: int) -> bool:
        """Return True if an expression runs only under a condition, so that it is a branch itself.

        This is so after ``else``, ``?``, ``:``, ``&&``, ``||``, the ``->`` of a ``when``, and an
        ``if`` without braces. Calls in this branch have another site than calls around it.
        ``start`` is the index of the expression's first token.
        """
        place = self._before(start)
        text = self._text(place)
        if text == ">" and self._text(place - 1) == "-":
            return bool(self._open[-1].chooses)  # otherwise it is the arrow of a lambda
        if text == ":":
            elvis = self._text(place - 1) == "?"
            return elvis or (self._ternary and place not in self._colons)
        return text in {"else", "?", "&", "|"} or self._heads.get(place) in _STATEMENTS

    def _is_function(self, start: int) -> bool:
        """Return True if an expression is the body of a function, which runs only if it is called.

        Calls in it then have another site than calls around it. Examples of such functions are
        ``fun f() = …`` and ``x -> …``. A body in braces is not one: the site of a call in it is
        that block. ``start`` is the index of the first token.
        """
        place = self._before(start)
        if self._text(place) == ")":
            # Only a declaration has an equals sign or a type there.
            return self._text(place + 1) in {"=", ":"}
        if self._text(place) != ">" or self._text(place - 1) != "-":
            return False
        opening = self._open[-1].place
        if self._text(opening) != "{" or place - opening > _MAX_TARGET:
            return True
        # After `{ name: Type ->`, the body is the block.
        parameters = self._pieces[opening + 1 : place - 1]
        return any(each.kind != "word" and each.text not in ",:.?<>()" for each in parameters)

    def _before(self, start: int) -> int:
        """Return the index of the token before the expression that starts at the token ``start``.

        If ``return``, ``new`` or ``name =`` is directly before the expression, it counts as a part
        of the expression.
        """
        place = start - 1
        line = None  # of the variable before an equals sign
        for _ in range(_MAX_TARGET):
            if line is not None and self._is_target(place, line):
                place -= 1
            elif is_mark(self._pieces, place, "=") and place > 0:
                place -= 1
                line = self._pieces[place].line
                if self._text(place) == ")":  # `fun f() =`
                    break
                place = self._starts[place] - 1
            elif self._text(place) in {"return", "new"}:
                place -= 1
            elif self._text(place - 1) == "@" and self._text(place - 2) == "return":
                place -= 3  # with Kotlin's label
            else:
                break
        return place

    def _is_target(self, place: int, line: int) -> bool:
        """Return True if a token can be part of the text before an equals sign: ``val name: Type``.

        The caller goes back from the equals sign to the first token for which this is False.

        Args:
            place: the index of the token.
            line: the line of the token before the equals sign: this text is on one line.
        """
        if place < 0 or self._pieces[place].line != line:
            return False
        text = self._text(place)
        if self._pieces[place].kind == "word":
            return text != "else"
        return text in {".", ":"} and place not in self._colons

    def _is_comparison(self, place: int) -> bool:
        return self._text(place + 1) == "=" or self._text(place - 1) in {"=", "!", "<", ">"}

    def _bracket(self, place: int) -> _Bracket:
        outer = self._open[-1]
        block = self._text(place) == "{"
        head = self._heads.get(place - 1, self._text(place - 1))
        called = self._is_call(place, head)
        callee = self._starts[place - 1] if called else place
        at = self._at(callee)
        if not block:
            shared = self._at(callee, outer.receiver)
            return replace(outer, place=place, callee=callee, site=at, shared=shared)
        conditional = at.conditional or head == "else" or head in _CHOICES
        site = CallSite(branch=place, conditional=conditional)
        if head in _AS_THIS | _AS_PARAMETER:
            receiver = self._values[place - 1]
            this = receiver if head in _AS_THIS else outer.this
            parameter = self._parameter(place) if head in _AS_PARAMETER else ""
            shared = self._at(callee, receiver)
            return _Bracket(place, callee, site, this, "", receiver, shared, parameter)
        chooses = head if head in {"when", "switch"} else ""
        return _Bracket(place, callee, site, outer.this, chooses)

    def _is_call(self, place: int, head: str) -> bool:
        """Return True if the opening bracket at ``place`` continues the expression before it.

        Return False if it begins a new expression, as after an operator, after ``if (…)``, and in
        the next line. ``head`` is the word before the bracket; but for the second of two pairs of
        brackets, as in ``f(…)(…)``, it is the word before the first pair.
        """
        if place == 0 or not (self._pieces[place - 1].kind == "word" or place - 1 in self._heads):
            return False
        if self._text(place) == "{" or self._text(place - 1) == "add":
            return True
        if self._pieces[place].line != self._pieces[place - 1].line:
            return False  # Kotlin begins another statement
        # `if (…)` is the call of a word, but `if (debug) (b).add(…)` calls nothing more.
        return head != "else" and (place - 1 not in self._heads or head not in _STATEMENTS)

    def _parameter(self, place: int) -> str:
        """Return the name of the only parameter of the Kotlin block that begins at ``place``.

        The name is ``it`` if the block doesn't declare one.
        """
        if self._text(place + 2) == "-" and self._text(place + 3) == ">":
            return self._text(place + 1)
        return "it"

    def _assigned(self, equals: int) -> str:
        """Return the variable before the equals sign at ``equals``; empty if there is none."""
        # Before Kotlin's `?`, which ends a type.
        end = equals - 2 if self._text(equals - 1) == "?" else equals - 1
        if end < 0:
            return ""
        line = self._pieces[end].line
        for target in range(end, max(end - _MAX_TARGET, -1), -1):
            if not self._is_target(target, line):
                break
            if self._text(target) == ":":  # of Kotlin's `val name: Type =`
                return self._text(target - 1)
        return self._names[end]

    def _text(self, place: int) -> str:
        """Return the text of the word or mark at ``place``; empty if there is none."""
        if not 0 <= place < len(self._pieces) or self._pieces[place].kind == "string":
            return ""
        return self._pieces[place].text


class _Variables:
    """The objects that the variables of the code contain, as far as the assignments show.

    Two variables with the same builder object belong to one list of pins.
    """

    def __init__(self) -> None:
        # For each variable: the start of the expression that it got, and its object before that.
        self._assigned: dict[str, tuple[int, _Builder]] = {}
        self._chains: dict[int, _Builder] = {}  # by the start of each chain, its value so far

    def read(self, start: int, value: _Builder) -> None:
        """Record the object that the first part of an expression returns, such as ``a.b(c)``.

        ``start`` is the token index at which the expression begins, and ``value`` the object. A
        later call for the same expression, after more of it was read, replaces the object.
        """
        self._chains[start] = value

    def assign(self, name: str, start: int) -> None:
        """Record that a variable gets the value of an expression.

        ``name`` is the variable, and ``start`` the token index at which the expression begins.
        """
        self._assigned[name] = start, self.value(name)

    def value(self, name: str) -> _Builder:
        """Return the object in the variable ``name``; if none was assigned, return ``name`` itself.

        So two variables without an assignment count as different objects.
        """
        if name not in self._assigned:
            return name
        start, before = self._assigned[name]
        value = self._chains.get(start, before)
        if value == before:
            return before  # `b = b.add(…)`
        # An object that the expression itself makes. Another variable may only be a part of it.
        return value if isinstance(value, int) and value >= start else start
