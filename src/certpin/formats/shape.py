"""Typed access to what a parser made of a hostile file: JSON, a property list, YAML."""

from __future__ import annotations

import json
from datetime import date
from typing import TYPE_CHECKING, Any, TypeVar

from certpin.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator

Value = TypeVar("Value")


class Shape:
    """A value, and the place where it stands. Raises ``FormatError`` where it has another type."""

    def __init__(self, value: object, place: str = "it") -> None:
        self._value = value
        self._parts: dict[object, Shape] = {}  # those that were read, by their name or number
        self.place = place

    @staticmethod
    def json(text: str) -> Shape:
        """Read JSON (RFC 8259)."""
        try:
            return Shape(json.loads(text))
        except (ValueError, RecursionError) as exc:  # ValueError: a number of 5000 digits
            raise FormatError(f"it is not JSON: {exc}"[:200]) from exc

    def get(self, name: str) -> Shape | None:
        """The value under a name of a mapping; ``None`` where there is none."""
        mapping: dict[Any, Any] = self._typed(dict, "a mapping")
        return self._part(name, mapping[name], self._under(name)) if name in mapping else None

    def need(self, name: str) -> Shape:
        """The value under a name, which must be there."""
        found = self.get(name)
        if found is None:
            raise FormatError(f"{self._under(name)} is missing")
        return found

    def entries(self) -> Iterator[tuple[str, Shape]]:
        """The names and values of a mapping."""
        mapping: dict[Any, Any] = self._typed(dict, "a mapping")
        for name, value in mapping.items():
            if not isinstance(name, str):
                raise FormatError(f"{self.place}: a name must be a text")
            yield name, self._part(name, value, self._under(name))

    def items(self) -> Iterator[Shape]:
        """The values of a list."""
        values: list[Any] = self._typed(list, "a list")
        for index, value in enumerate(values):
            yield self._part(index, value, f"{self.place}[{index}]")

    @property
    def is_text(self) -> bool:
        """Whether it is a text."""
        return isinstance(self._value, str)

    def text(self) -> str:
        """A text."""
        return self._typed(str, "a text")

    def texts(self) -> list[str]:
        """A list of texts."""
        return [each.text() for each in self.items()]

    def flag(self) -> bool:
        """True or false."""
        return self._typed(bool, "true or false")

    def integer(self) -> int:
        """A whole number."""
        if isinstance(self._value, bool):
            raise self._wrong("a whole number")
        return self._typed(int, "a whole number")

    def day(self) -> str:
        """A date, or its text: parsers differ in what they make of one."""
        if isinstance(self._value, date):
            return self._value.isoformat()
        return self.text()

    def agree(self, name: str, *, value: bool) -> None:
        """Take a flag if it says what certpin does in any case."""
        mapping: dict[Any, Any] = self._typed(dict, "a mapping")
        if mapping.get(name) is value:
            self.get(name)

    def unread(self) -> Iterator[str]:
        """Name everything in it that was not read, by its place."""
        inside: dict[Any, Any] = {}
        if isinstance(self._value, dict):
            inside = self._value
        elif isinstance(self._value, list):
            inside = dict(enumerate(self._value))
        for name in inside:
            if name in self._parts:
                yield from self._parts[name].unread()
            elif isinstance(name, int):
                yield f"{self.place}[{name}]"
            else:
                yield self._under(str(name))

    def _part(self, name: object, value: object, place: str) -> Shape:
        return self._parts.setdefault(name, Shape(value, place))

    def _typed(self, kind: type[Value], words: str) -> Value:
        if not isinstance(self._value, kind):
            raise self._wrong(words)
        return self._value

    def _wrong(self, words: str) -> FormatError:
        return FormatError(f"{self.place} must be {words}")

    def _under(self, name: str) -> str:
        short = name if len(name) <= 80 else name[:77] + "…"
        return short if self.place == "it" else f"{self.place}.{short}"
