"""Typed access to the tables of a TOML file: errors name the key and the expected value."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from certpin.errors import ConfigError
from certpin.x509 import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    # The place of a table: its parent, its name there, and its index in an array of tables.
    Place = tuple["Table", str, int | None]

Value = TypeVar("Value")


class PinFileWarning(UserWarning):
    """The category of warnings about keys in a pin file that certpin does not know and ignores."""


class UnknownKey(NamedTuple):
    """A key that certpin doesn't read: its full key, its name, and the known keys of its table."""

    key: str
    name: str
    known: tuple[str, ...]


class Table:
    """A table of a TOML file with typed access to its values. Methods raise ``ConfigError``.

    ``place`` is the table's full key, or its parent table with its name and index there. In the
    second case the full key is computed only for an error: a file of 10,000 hosts has 30,000
    tables, and an error names one.
    """

    __slots__ = ("_data", "_place", "unknown")

    def __init__(self, data: object, place: str | Place = "") -> None:
        self._place = place
        self.unknown: list[UnknownKey] = [] if isinstance(place, str) else place[0].unknown
        if not isinstance(data, dict):
            raise ConfigError(
                "this must be a table", key=self.key, fix=f"write {_header(self.key)}"
            )
        self._data: dict[str, Any] = data

    @property
    def key(self) -> str:
        """The full key of the table, such as ``host[2].pin[0]``."""
        if isinstance(self._place, str):
            return self._place
        parent, name, index = self._place
        return parent.under(name) if index is None else f"{parent.under(name)}[{index}]"

    @property
    def data(self) -> dict[str, Any]:
        """The values of the table, by their keys."""
        return self._data

    def under(self, name: str) -> str:
        """Return the full key of the value ``name`` in this table, such as ``host[2].name``."""
        return f"{self.key}.{name}" if self.key else name

    def text(self, name: str, default: str | None = None) -> str:
        """Return a string value. The key is required unless there is a default."""
        value = self._data.get(name, default)
        if isinstance(value, str):
            return value
        return self._typed(name, str, default, "a string in quotes")

    def integer(self, name: str) -> int:
        """Return an integer value of at most 64 bits (TOML 1.0). The key is required."""
        value = self._typed(name, int, None, "a whole number")
        if isinstance(value, bool) or not -(2**63) <= value < 2**63:
            raise self._wrong(name, "a whole number")
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        """Return a boolean value, or ``default`` if the key is missing."""
        return self._typed(name, bool, default, "true or false")

    def choice(self, name: str, choices: tuple[Any, ...], default: Any) -> Any:
        """Return a value that must be one of ``choices``, or ``default`` if the key is missing."""
        value = self._data.get(name, default)
        if value in choices:
            return value
        right = "one of " + ", ".join(f'"{word}"' for word in choices)
        value = self._typed(name, str, default, right)
        if value not in choices:
            raise self._wrong(name, right)
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of strings; empty if the key is missing."""
        if name not in self._data:
            return ()
        values = self._typed(name, list, [], "a list of strings")
        if not all(isinstance(value, str) for value in values):
            raise self._wrong(name, "a list of strings")
        return tuple(values)

    def moment(self, name: str) -> datetime | None:
        """Return a date with time; ``None`` if the key is missing.

        A date without a time means its first moment in UTC. Not checked: that a time has a zone.
        """
        value = self._data.get(name)
        if value is None or isinstance(value, datetime):
            return value
        if isinstance(value, date):
            return _first_moment(value)
        raise self._wrong(name, "a date without quotes, as in 2027-06-01")

    def tables(self, name: str) -> Iterator[Table]:
        """Yield the tables in an array of tables; none if the key is missing."""
        for index, value in enumerate(self.items(name)):
            yield Table(value, (self, name, index))

    def items(self, name: str) -> list[Any]:
        """Return the elements of an array of any type; empty if the key is missing."""
        value = self._data.get(name)
        if isinstance(value, list):
            return value
        if value is None:
            return []
        raise self._wrong(name, f"written as {_header(self.under(name) + '[]')}")

    def table(self, name: str) -> Table | None:
        """Return the table with this key, or ``None`` if it is missing."""
        return Table(self._data[name], (self, name, None)) if name in self._data else None

    def warn_unknown(self, known: tuple[str, ...]) -> None:
        """Add the keys that are not ``known`` to ``unknown``, for a warning. Refuse a misspelt key.

        A misspelt key would have no effect: ``truts = "ca.pem"`` trusts every root of the platform.

        Raises:
            ConfigError: a key resembles a known one.
        """
        for name in self._data:
            if name not in known:
                self.unknown.append(UnknownKey(self.under(name), name, known))
                if meant := closest_key(name, known):
                    raise misspelt_key_error(self.under(name), name, meant)

    def _typed(self, name: str, kind: type[Value], default: Value | None, right: str) -> Value:
        value = self._data.get(name, default)
        if isinstance(value, kind):
            return value
        if value is None:
            raise ConfigError("it is missing", key=self.under(name), fix=f"it must be {right}")
        raise self._wrong(name, right)

    def _wrong(self, name: str, right: str) -> ConfigError:
        shown = _value_text(self._data.get(name))
        return ConfigError(f"{shown} is not right", key=self.under(name), fix=f"it must be {right}")


def closest_key(name: str, known: Iterable[str]) -> str:
    """Return the known key that a misspelt one resembles; empty if it resembles none.

    The comparison ignores case, and treats hyphens and spaces as underscores. It tolerates one slip
    for every three letters of the known key, and at least one. A slip is an additional, missing or
    wrong letter, or two neighbours in the wrong order.
    """
    written = re.sub("[- ]", "_", name.lower())
    near = [(slips, key) for key in known if (slips := _slips(written, key)) <= _tolerated(key)]
    return min(near, default=(0, ""), key=lambda each: each[0])[1]


def _tolerated(key: str) -> int:
    return max(1, len(key) // 3)


def _slips(written: str, key: str) -> int:
    """Return the number of typing slips between two keys (optimal string alignment distance).

    It is exact up to the tolerated number of slips. For keys that differ more, any larger number is
    returned.
    """
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


def misspelt_key_error(key: str, name: str, meant: str) -> ConfigError:
    """Return the error for an unknown key that resembles the known key ``meant``."""
    return ConfigError(
        f"{quoted(name)} is not a key of this table, and looks like {meant!r}",
        key=key,
        fix=f"write {meant!r}, or remove the line",
    )


def misplaced_key_error(key: str, name: str, table: str) -> ConfigError:
    """Return the error for a key that has no effect here, because it belongs to another table."""
    return ConfigError(
        f"{quoted(name)} is not a key of this table, but of {table}",
        key=key,
        fix=f"move the line to {table}, above the next header, or remove it",
    )


@lru_cache(maxsize=64)
def _first_moment(day: date) -> datetime:
    """Return the first moment of a day in UTC. Cached, because many hosts share a few dates."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _header(key: str) -> str:
    """Return the TOML header of the table at a key: ``[[host.pin]]`` for ``host[2].pin[0]``."""
    name = re.sub(r"\[\d*\]", "", key)
    return f"[[{name}]]" if key.endswith("]") else f"[{name}]"


def _value_text(value: object) -> str:
    """Return a value as text for an error, or only its type if it may be too deep or too long."""
    if isinstance(value, str):
        return quoted(value)
    return _TYPE_NAMES.get(type(value)) or str(value)


_TYPE_NAMES: dict[type, str] = {dict: "a table", list: "a list", int: "a number", float: "a number"}
