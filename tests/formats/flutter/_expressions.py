"""Expressions of the small part of Dart, as Python.

What is written otherwise: a list or a map made on the spot is one of ``_runtime``, an argument with
a name has an equals sign, and ``value is! int`` asks ``is_a``. Types in ``<>`` are left out.
"""

from __future__ import annotations

import re

_WORDS = {"null": "None", "true": "True", "false": "False", "const": ""}
_MARKS = {"&&": "and", "||": "or", "!": "not"}
# In an expression these would mean something else in Python, or nothing.
_FOREIGN = {
    *("?", ";", "=", "+=", "@", "{", "}"),
    *("as", "await", "async", "switch", "case", "late", "new", "final", "var", "in", "or"),
}
_GENERIC = {"<", ">", ",", "?"}  # what stands behind the first word of types in brackets
_CLOSING = {"(": ")", "[": "]", "{": "}", "<": ">"}
_OPERAND = re.compile(r"['\w)\]}]")


def expression(pieces: list[str]) -> str:
    """The same in Python. Raises ``SyntaxError`` outside of the part that is known."""
    return " ".join(filter(None, _parts(pieces)))


def _parts(pieces: list[str]) -> list[str]:
    done: list[str] = []
    place = 0
    while place < len(pieces):
        piece = pieces[place]
        behind = place > 0 and _OPERAND.match(pieces[place - 1][-1]) is not None
        behind = behind and pieces[place - 1] not in {"return", "throw", "const"}
        if piece in {"[", "{", "<"} and not behind:
            text, place = _literal(pieces, place)
            done.append(text)
        elif piece == "is":
            text, place = _question(pieces, place)
            done[-1:] = [text]
        elif piece in _FOREIGN or (piece == "<" and _GENERIC & {*pieces[place + 2 : place + 3]}):
            raise SyntaxError(f"not in this part of Dart: {piece} in {' '.join(pieces)}")
        else:
            done.append("=" if piece == ":" else _translated(piece))
            place += 1
    return done


def _literal(pieces: list[str], place: int) -> tuple[str, int]:
    """A list, or a map, whose keys are before a colon; perhaps behind its types."""
    if pieces[place] == "<":
        place = _end(pieces, place)
    opening = pieces[place] if place < len(pieces) else ""
    if opening not in {"[", "{"}:
        raise SyntaxError(f"not in this part of Dart: types before {opening!r}")
    end = _end(pieces, place)
    parts = split(pieces[place + 1 : end - 1])
    if opening == "[":
        return f"List([{', '.join(map(expression, parts))}])", end
    if not all(":" in part for part in parts):
        raise SyntaxError(f"not in this part of Dart: a set: {' '.join(pieces[place:end])}")
    pairs = [halves(part, ":") for part in parts]
    texts = [f"{expression(key)}: {expression(value)}" for key, value in pairs]
    return f"Map({{{', '.join(texts)}}})", end


def _question(pieces: list[str], place: int) -> tuple[str, int]:
    """``name is Type``, and ``name is! Type``."""
    name = pieces[place - 1]
    if not name.isidentifier() or (place > 1 and pieces[place - 2] in {".", "!"}):
        raise SyntaxError(f"only a name is asked for its type, not {name}")
    negated = pieces[place + 1] == "!"
    place += 2 if negated else 1
    kind = pieces[place]
    place += 1
    if pieces[place : place + 1] == ["<"]:
        place = _end(pieces, place)
    return f"({'not ' * negated}is_a({name}, {kind!r}))", place


def _end(pieces: list[str], place: int) -> int:
    """The place behind the bracket that closes the one here."""
    opening = pieces[place]
    depth = 0
    while place < len(pieces):
        depth += {opening: 1, _CLOSING[opening]: -1}.get(pieces[place], 0)
        place += 1
        if not depth:
            return place
    raise SyntaxError(f"nothing closes a {opening}")


def _translated(piece: str) -> str:
    if piece.startswith("'"):
        return f"String({_interpolated(piece)})"
    return _WORDS.get(piece, _MARKS.get(piece, piece))


def _interpolated(literal: str) -> str:
    if "$" not in literal:
        return literal
    if "{" in literal or "}" in literal:
        raise SyntaxError(f"only names are interpolated: {literal}")
    return "f" + re.sub(r"\$([A-Za-z_]\w*)", r"{\1}", literal)


def halves(pieces: list[str], mark: str = "=") -> tuple[list[str], list[str]]:
    """What stands before a mark, and behind it."""
    place = pieces.index(mark)
    return pieces[:place], pieces[place + 1 :]


def split(pieces: list[str]) -> list[list[str]]:
    """The parts between commas, a last one for nothing left out. Brackets and types keep theirs."""
    parts: list[list[str]] = [[]]
    depth = 0
    for piece in pieces:
        depth += (piece in _CLOSING) - (piece in _CLOSING.values())
        if piece == "," and depth == 0:
            parts.append([])
        else:
            parts[-1].append(piece)
    return [part for part in parts if part]
