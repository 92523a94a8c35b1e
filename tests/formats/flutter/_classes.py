"""Classes of the small part of Dart: fields, and one constructor that fills them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.formats.flutter._expressions import expression, halves, split

if TYPE_CHECKING:
    from collections.abc import Iterator


def lines(head: list[str], body: list[str]) -> Iterator[str]:
    """The same class in Python. ``head`` is ``final class Name``, perhaps with ``interface``."""
    if head[-2] != "class":
        raise SyntaxError(f"only plain classes: {' '.join(head)}")
    name = head[-1]
    fields, parameters = set(), []
    for part in _members(body):
        if name in part and part[part.index(name) + 1 : part.index(name) + 2] == ["("]:
            parameters = _parameters(part[part.index(name) + 2 : -1])
        elif "(" in part or "=" in part:
            raise SyntaxError(f"only fields and a constructor: {' '.join(part)}")
        else:
            fields.add(part[-1])
    if fields != {each.partition("=")[0].strip() for each in parameters if each != "*"}:
        raise SyntaxError(f"{name} does not fill its fields")
    yield f"class {name}:"
    yield f"    def __init__(self, {', '.join(parameters)}):"
    yield from (f"        self.{each} = {each}" for each in sorted(fields))


def _members(body: list[str]) -> Iterator[list[str]]:
    while body:
        member, body = halves(body, ";")
        yield member


def _parameters(pieces: list[str]) -> list[str]:
    """``this.name``; in braces they have names, and perhaps a value where none is given."""
    named = pieces[:1] == ["{"]
    parts = split(pieces[1:-1] if named else pieces)
    return ["*"] * named + [_parameter(part, named=named) for part in parts]


def _parameter(part: list[str], *, named: bool) -> str:
    required = part[0] == "required"
    this, dot, name, *rest = part[required:]
    if (this, dot) != ("this", "."):
        raise SyntaxError(f"a constructor fills fields: {' '.join(part)}")
    if rest[:1] == ["="]:
        return f"{name} = {expression(rest[1:])}"
    return f"{name} = None" if named and not required else name
