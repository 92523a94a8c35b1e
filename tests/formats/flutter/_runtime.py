"""The part of ``dart:core`` that the pure files of the library use, as its documentation has it.

What raises a ``RangeError`` in Dart raises one here: a walk that leaves its bytes must not pass
because Python counts from the end.
"""

from __future__ import annotations

import ipaddress
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class RangeError(Exception):
    """An index that is not there."""


class FormatException(Exception):  # noqa: N818, the name is Dart's
    """What is not of its form."""


class String(str):
    __slots__ = ()

    @property
    def length(self) -> int:
        return len(self)

    @property
    def isEmpty(self) -> bool:  # noqa: N802, the name is Dart's; so below
        return not self

    def contains(self, other: str) -> bool:
        return other in self

    def startsWith(self, other: str) -> bool:  # noqa: N802
        return self.startswith(other)

    def endsWith(self, other: str) -> bool:  # noqa: N802
        return self.endswith(other)

    def indexOf(self, other: str) -> int:  # noqa: N802
        return self.find(other)

    def substring(self, start: int, end: int | None = None) -> String:
        end = len(self) if end is None else end
        if not 0 <= start <= end <= len(self):
            raise RangeError(start, end)
        return String(self[start:end])

    def toLowerCase(self) -> String:  # noqa: N802
        return String(self.lower())

    def split(self, mark: str) -> List:  # type: ignore[override]  # the name is Dart's
        return List(map(String, self if mark == "" else str.split(self, mark)))


class List(list[Any]):
    @property
    def length(self) -> int:
        return len(self)

    @property
    def first(self) -> Any:
        return self[0]

    @property
    def last(self) -> Any:
        return self[-1]

    def every(self, test: Callable[[Any], bool]) -> bool:
        return all(map(test, self))

    def any(self, test: Callable[[Any], bool]) -> bool:
        return any(map(test, self))

    def contains(self, value: object) -> bool:
        return value in self

    def join(self, mark: str) -> String:
        return String(mark.join(map(str, self)))


class Uint8List(bytes):
    @property
    def length(self) -> int:
        return len(self)

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < len(self):
            raise RangeError(index)
        return bytes.__getitem__(self, index)

    def sublist(self, start: int, end: int) -> bytes:
        if not 0 <= start <= end <= len(self):
            raise RangeError(start, end)
        return bytes(self)[start:end]


class Map(dict[Any, Any]):
    @property
    def length(self) -> int:
        return len(self)

    def __missing__(self, key: object) -> None:
        return None


class Uri:
    @staticmethod
    def parseIPv6Address(host: str) -> List:  # noqa: N802
        try:
            return List(ipaddress.IPv6Address(host).packed)
        except ValueError as exc:
            raise FormatException(host) from exc


class DateTime:
    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    @staticmethod
    def parse(text: str) -> DateTime:
        return DateTime(datetime.fromisoformat(text))

    def isBefore(self, other: DateTime) -> bool:  # noqa: N802
        return self.moment < other.moment


class Int:
    @staticmethod
    def parse(text: str) -> int:
        return int(text)


def strings(texts: Iterable[str]) -> List:
    """A list of Dart's strings."""
    return List(map(String, texts))


NAMES: dict[str, Any] = {
    "DateTime": DateTime,
    "FormatException": FormatException,
    "String": String,
    "Uri": Uri,
    "int": Int,
}
