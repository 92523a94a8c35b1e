"""Typed access to the tables of a pin file: a refusal says which key, and what would be right."""

from __future__ import annotations

import re
import warnings
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from certpin.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

Value = TypeVar("Value")


class PinFileWarning(UserWarning):
    """Something in a pin file that certpin does not know, and leaves alone."""


class Table:
    """One table of the file, and the key that leads to it. Raises ``ConfigError``."""

    def __init__(self, data: object, key: str = "") -> None:
        if not isinstance(data, dict):
            raise ConfigError("this must be a table", key=key, fix=f"write {_header(key)}")
        self._data: dict[str, Any] = data
        self.key = key

    @property
    def data(self) -> dict[str, Any]:
        """What stands in it."""
        return self._data

    def under(self, name: str) -> str:
        """The full key of one of its names."""
        return f"{self.key}.{name}" if self.key else name

    def text(self, name: str, default: str | None = None) -> str:
        """A string. Without a default it must be there."""
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
        """One of the words that stand for something."""
        right = "one of " + ", ".join(f'"{word}"' for word in choices)
        value = self._typed(name, str, default, right)
        if value not in choices:
            raise self._wrong(name, right)
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of strings; none if it isn't there."""
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
            return datetime(value.year, value.month, value.day, tzinfo=UTC)
        raise self._wrong(name, "a date without quotes, as in 2027-06-01")

    def tables(self, name: str) -> Iterator[Table]:
        """The tables of an array of tables; none if it isn't there."""
        for index, value in enumerate(self.items(name)):
            yield Table(value, f"{self.under(name)}[{index}]")

    def items(self, name: str) -> list[Any]:
        """What stands in an array of tables, be it tables or not."""
        return self._typed(name, list, [], f"written as {_header(self.under(name) + '[]')}")

    def table(self, name: str) -> Table | None:
        """A table of its own, or ``None``."""
        return Table(self._data[name], self.under(name)) if name in self._data else None

    def warn_unknown(self, known: tuple[str, ...]) -> None:
        """Warn about keys that nothing reads: a misspelt one would protect nobody."""
        for name in sorted(self._data.keys() - set(known)):
            warnings.warn(
                f"pin file: {self.under(name)} is not known here, and is left alone "
                f"(known: {', '.join(known)})",
                PinFileWarning,
                stacklevel=2,
            )

    def _typed(self, name: str, kind: type[Value], default: Value | None, right: str) -> Value:
        value = self._data.get(name, default)
        if value is None:
            raise ConfigError("it is missing", key=self.under(name), fix=f"it must be {right}")
        if not isinstance(value, kind):
            raise self._wrong(name, right)
        return value

    def _wrong(self, name: str, right: str) -> ConfigError:
        shown = _shown(self._data.get(name))
        return ConfigError(f"{shown} is not right", key=self.under(name), fix=f"it must be {right}")


def _header(key: str) -> str:
    """The header of a table: ``host[2].pin[0]`` stands under ``[[host.pin]]``."""
    name = re.sub(r"\[\d*\]", "", key)
    return f"[[{name}]]" if key.endswith("]") else f"[{name}]"


def _shown(value: object) -> str:
    """A word for what may be too deep or too large to be shown."""
    if isinstance(value, str):
        return repr(value if len(value) <= 80 else value[:77] + "…")
    return _KINDS.get(type(value)) or str(value)


_KINDS: dict[type, str] = {dict: "a table", list: "a list", int: "a number", float: "a number"}
