"""The part of ``dart:core`` that the pure files of the library use, as its documentation has it.

What raises a ``RangeError`` in Dart raises one here: a walk that leaves its bytes must not pass
because Python counts from the end.
"""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime
from functools import cmp_to_key
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class RangeError(Exception):
    """An index that is not there."""


class FormatException(Exception):  # noqa: N818, the name is Dart's
    """What is not of its form."""


class PinUpdateException(Exception):  # noqa: N818, the name is Dart's
    """Of signed_exception.dart: a reason for programs, and a sentence."""

    def __init__(self, reason: str, problem: str) -> None:
        super().__init__(f"{reason}: {problem}")
        self.reason = reason
        self.problem = problem


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

    def toUpperCase(self) -> String:  # noqa: N802
        return String(self.upper())

    def trim(self) -> String:
        return String(self.strip())

    def replaceAll(self, old: str, new: str) -> String:  # noqa: N802
        return String(self.replace(old, new))

    @property
    def runes(self) -> List:
        return List(map(ord, self))

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
        return list.__getitem__(self, -1)

    def every(self, test: Callable[[Any], bool]) -> bool:
        return all(map(test, self))

    def any(self, test: Callable[[Any], bool]) -> bool:
        return any(map(test, self))

    def contains(self, value: object) -> bool:
        return value in self

    @property
    def isEmpty(self) -> bool:  # noqa: N802
        return not self

    def join(self, mark: str) -> String:
        return String(mark.join(map(str, self)))

    def add(self, value: object) -> None:
        self.append(value)

    def toList(self) -> List:  # noqa: N802
        return List(self)

    def sort(self, compare: Callable[[Any, Any], int]) -> None:  # type: ignore[override]
        list.sort(self, key=cmp_to_key(compare))

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < len(self):
            raise RangeError(index)
        return list.__getitem__(self, index)


class Uint8List(bytes):
    @property
    def length(self) -> int:
        return len(self)

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < len(self):
            raise RangeError(index)
        return bytes.__getitem__(self, index)

    def sublist(self, start: int, end: int | None = None) -> Uint8List:
        end = len(self) if end is None else end
        if not 0 <= start <= end <= len(self):
            raise RangeError(start, end)
        return Uint8List(bytes(self)[start:end])


class BytesBuilder:
    def __init__(self) -> None:
        self._held = bytearray()

    def add(self, data: bytes) -> None:
        self._held += data

    def addByte(self, octet: int) -> None:  # noqa: N802
        self._held.append(octet)

    def takeBytes(self) -> Uint8List:  # noqa: N802
        taken = Uint8List(self._held)
        self._held.clear()
        return taken


class Map(dict[Any, Any]):
    @property
    def length(self) -> int:
        return len(self)

    def __missing__(self, key: object) -> None:
        return None

    @property
    def keys(self) -> List:  # type: ignore[override]  # the name is Dart's; so below
        return List(dict.keys(self))

    @property
    def values(self) -> List:  # type: ignore[override]
        return List(dict.values(self))

    def containsKey(self, key: object) -> bool:  # noqa: N802
        return key in self


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
        try:
            return DateTime(datetime.fromisoformat(text))
        except ValueError as exc:
            raise FormatException(text) from exc

    def isBefore(self, other: DateTime) -> bool:  # noqa: N802
        return self.moment < other.moment

    def toIso8601String(self) -> String:  # noqa: N802
        utc = self.moment.astimezone(UTC)
        return String(utc.isoformat(timespec="milliseconds").replace("+00:00", "Z"))


class Int:
    @staticmethod
    def parse(text: str, radix: int = 10) -> int:
        return int(text, radix)


_KINDS: dict[str, Any] = {"String": str, "List": list, "Map": dict, "bool": bool}


def is_a(value: object, kind: str) -> bool:
    """``value is kind``. A bool is no int in Dart."""
    if kind == "int":
        return type(value) is int
    return isinstance(value, _KINDS[kind])


def strings(texts: Iterable[str]) -> List:
    """A list of Dart's strings."""
    return List(map(String, texts))
