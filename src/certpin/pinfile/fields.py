"""Typed access to the tables of a pin file: a refusal says which key, and what would be right."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from certpin.errors import ConfigError
from certpin.x509 import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    # Where a table is: its parent, its name there, and its number among several.
    Place = tuple["Table", str, int | None]

Value = TypeVar("Value")


class PinFileWarning(UserWarning):
    """Something in a pin file that certpin does not know, and leaves alone."""


class Unknown(NamedTuple):
    """A key that nothing reads: its full key, its name, and the keys that its table has."""

    key: str
    name: str
    known: tuple[str, ...]


class Table:
    """One table of the file, and the key that leads to it. Raises ``ConfigError``.

    ``place`` is the full key, or where the table is below another one. Then the key is made when
    it is asked for: a file of 10,000 hosts has 30,000 tables, and an error names one of them.
    """

    __slots__ = ("_data", "_place", "unknown")

    def __init__(self, data: object, place: str | Place = "") -> None:
        self._place = place
        self.unknown: list[Unknown] = [] if isinstance(place, str) else place[0].unknown
        if not isinstance(data, dict):
            raise ConfigError(
                "this must be a table", key=self.key, fix=f"write {_header(self.key)}"
            )
        self._data: dict[str, Any] = data

    @property
    def key(self) -> str:
        """The full key, such as ``host[2].pin[0]``."""
        if isinstance(self._place, str):
            return self._place
        parent, name, index = self._place
        return parent.under(name) if index is None else f"{parent.under(name)}[{index}]"

    @property
    def data(self) -> dict[str, Any]:
        """The values of the table, by their names."""
        return self._data

    def under(self, name: str) -> str:
        """The full key of one of its names."""
        return f"{self.key}.{name}" if self.key else name

    def text(self, name: str, default: str | None = None) -> str:
        """A string. Without a default it must be there."""
        value = self._data.get(name, default)
        if isinstance(value, str):
            return value
        return self._typed(name, str, default, "a string in quotes")

    def integer(self, name: str) -> int:
        """A whole number of 64 bits (TOML 1.0), which must be there."""
        value = self._typed(name, int, None, "a whole number")
        if isinstance(value, bool) or not -(2**63) <= value < 2**63:
            raise self._wrong(name, "a whole number")
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        """True or false."""
        return self._typed(name, bool, default, "true or false")

    def choice(self, name: str, choices: tuple[Any, ...], default: Any) -> Any:
        """One of some words."""
        value = self._data.get(name, default)
        if value in choices:
            return value
        right = "one of " + ", ".join(f'"{word}"' for word in choices)
        value = self._typed(name, str, default, right)
        if value not in choices:
            raise self._wrong(name, right)
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of strings; none if it isn't there."""
        if name not in self._data:
            return ()
        values = self._typed(name, list, [], "a list of strings")
        if not all(isinstance(value, str) for value in values):
            raise self._wrong(name, "a list of strings")
        return tuple(values)

    def moment(self, name: str) -> datetime | None:
        """A date (its first moment in UTC) or a date with time and zone."""
        value = self._data.get(name)
        if value is None or isinstance(value, datetime):
            return value
        if isinstance(value, date):
            return _first_moment(value)
        raise self._wrong(name, "a date without quotes, as in 2027-06-01")

    def tables(self, name: str) -> Iterator[Table]:
        """The tables of an array of tables; none if it isn't there."""
        for index, value in enumerate(self.items(name)):
            yield Table(value, (self, name, index))

    def items(self, name: str) -> list[Any]:
        """What stands in an array of tables, be it tables or not."""
        value = self._data.get(name)
        if isinstance(value, list):
            return value
        if value is None:
            return []
        raise self._wrong(name, f"written as {_header(self.under(name) + '[]')}")

    def table(self, name: str) -> Table | None:
        """A table of its own, or ``None``."""
        return Table(self._data[name], (self, name, None)) if name in self._data else None

    def warn_unknown(self, known: tuple[str, ...]) -> None:
        """Note the keys that nothing reads, for a warning. Refuse a misspelt one.

        A misspelt key would have no effect: ``truts = "ca.pem"`` trusts every root of the platform.
        """
        for name in self._data:
            if name not in known:
                self.unknown.append(Unknown(self.under(name), name, known))
                if meant := meant_by(name, known):
                    raise misspelt(self.under(name), name, meant)

    def _typed(self, name: str, kind: type[Value], default: Value | None, right: str) -> Value:
        value = self._data.get(name, default)
        if isinstance(value, kind):
            return value
        if value is None:
            raise ConfigError("it is missing", key=self.under(name), fix=f"it must be {right}")
        raise self._wrong(name, right)

    def _wrong(self, name: str, right: str) -> ConfigError:
        shown = _shown(self._data.get(name))
        return ConfigError(f"{shown} is not right", key=self.under(name), fix=f"it must be {right}")


def meant_by(name: str, known: Iterable[str]) -> str:
    """The known key that a misspelt one resembles; empty if it resembles none.

    Ignores case, and takes hyphens and spaces for underscores. Then one slip for every three
    letters of the known key, and one at least, are tolerated. A slip is a letter more, less or
    wrong, or two neighbours in the wrong order.
    """
    written = re.sub("[- ]", "_", name.lower())
    near = [(slips, key) for key in known if (slips := _slips(written, key)) <= _tolerated(key)]
    return min(near, default=(0, ""), key=lambda each: each[0])[1]


def _tolerated(key: str) -> int:
    return max(1, len(key) // 3)


def _slips(written: str, key: str) -> int:
    """The optimal string alignment distance, or more than is tolerated."""
    if abs(len(written) - len(key)) > _tolerated(key):
        return len(key)
    before, row = [0] * (len(key) + 1), list(range(len(key) + 1))
    for at, letter in enumerate(written, 1):
        earlier, before, row = before, row, [at]
        for place, right in enumerate(key, 1):
            slips = min(before[place] + 1, row[-1] + 1, before[place - 1] + (letter != right))
            if at > 1 and place > 1 and (written[at - 2], letter) == (right, key[place - 2]):
                slips = min(slips, earlier[place - 2] + 1)
            row.append(slips)
    return row[-1]


def misspelt(key: str, name: str, meant: str) -> ConfigError:
    """The error for a key that does nothing, and looks like one that does."""
    return ConfigError(
        f"{quoted(name)} is not a key of this table, and looks like {meant!r}",
        key=key,
        fix=f"write {meant!r}, or remove the line",
    )


def misplaced(key: str, name: str, table: str) -> ConfigError:
    """The error for a key of another table, which does nothing in this one."""
    return ConfigError(
        f"{quoted(name)} is not a key of this table, but of {table}",
        key=key,
        fix=f"move the line to {table}, above the next header, or remove it",
    )


@lru_cache(maxsize=64)
def _first_moment(day: date) -> datetime:
    """Its first moment in UTC. The hosts of a file often share a few dates."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _header(key: str) -> str:
    """The header of a table: ``host[2].pin[0]`` stands under ``[[host.pin]]``."""
    name = re.sub(r"\[\d*\]", "", key)
    return f"[[{name}]]" if key.endswith("]") else f"[{name}]"


def _shown(value: object) -> str:
    """A word for what may be too deep or too large to be shown."""
    if isinstance(value, str):
        return quoted(value)
    return _KINDS.get(type(value)) or str(value)


_KINDS: dict[type, str] = {dict: "a table", list: "a list", int: "a number", float: "a number"}
