"""Read tables of ``watch.toml`` into dataclasses. Each field declares a function that reads it.

    @dataclass(frozen=True)
    class CacheSettings:
        name: str = field(metadata=reads(text))  # required, because it has no default
        size: int = setting(100, whole_number(1, 1000))
        pause: timedelta = setting(timedelta(minutes=1), duration(timedelta(seconds=1)))

    read_table(CacheSettings, Table(data, "cache"))

A key in the file has the name of its field, unless ``key=`` gives another. An unknown key is an
error, because a misspelt setting would have no effect. A class can have a static method
``complete(values, table)`` for rules about several keys: it can change the values, and raise
``ConfigError``.
"""

from __future__ import annotations

from dataclasses import MISSING, field, fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar, cast

from certpin.errors import ConfigError, HostError, InputError
from certpin.pinfile.spelling import closest_key, misspelt_key_error
from certpin.rotation import format_duration, parse_duration

if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import Field

    from certpin.pinfile.file import Table

    # Reads the value of a key that the table has, or that is required. Raises ConfigError.
    Read = Callable[[Table, str], Any]

Value = TypeVar("Value")


def setting(default: Value, read: Callable[[Table, str], Value], key: str = "") -> Value:
    """Declare a field of a settings class: its default value, and the function that reads it.

    Args:
        default: the value if the table doesn't have the key.
        read: reads the value from the table.
        key: the key in the table, if it isn't the name of the field.
    """
    declared: Any = field(default=default, metadata=reads(read, key))
    return declared  # type: ignore[no-any-return]  # as the type of the field


def reads(read: Callable[[Table, str], Any], key: str = "") -> dict[str, Any]:
    """Return the metadata for a field of a settings class: the function that reads its value.

    Use this for a required field, which has no default; for others, use ``setting``. ``key`` is the
    key in the table, if it isn't the name of the field.
    """
    return {"read": read, "key": key}


def table_setting(kind: type[Value]) -> Value:
    """Declare a field of a settings class for a nested table in which every setting has a default.

    If the table is missing, the field has all defaults. ``kind`` is the settings class of the
    table.
    """
    declared: Any = field(default_factory=kind, metadata=reads(table_of(kind)))
    return declared  # type: ignore[no-any-return]  # as the type of the field


def read_table(kind: type[Value], table: Table) -> Value:
    """Read a table into an instance of ``kind``, a settings class.

    Raises:
        ConfigError: a key is unknown, missing or has an invalid value.
    """
    return kind(**read_values(kind, table))


def read_values(kind: type[Any], table: Table, *others: str) -> dict[str, Any]:
    """Read the values that a table has for the fields of a settings class.

    If the class has a method ``complete``, it is called with the values, and can change them.

    Args:
        kind: the settings class.
        table: the table.
        others: further keys that the table may have. The caller reads them.

    Returns:
        The values by the names of the fields. Fields without a key in the table are left out, so
        that they get their defaults.

    Raises:
        ConfigError: a key is unknown, missing or has an invalid value.
    """
    _refuse_unknown(table, (*known_keys(kind), *others))
    values = {
        item.name: item.metadata["read"](table, setting_key(item))
        for item in _declared(kind)
        if setting_key(item) in table.data or _is_required(item)
    }
    if complete := getattr(kind, "complete", None):
        complete(values, table)
    return values


def known_keys(kind: type[Any]) -> tuple[str, ...]:
    """Return the keys that a table of ``watch.toml`` may have: those of ``kind``, its class."""
    return tuple(map(setting_key, _declared(kind)))


def _declared(kind: type[Any]) -> list[Field[Any]]:
    return [item for item in fields(kind) if "read" in item.metadata]


def setting_key(item: Field[Any]) -> str:
    """Return the key in ``watch.toml`` of the field ``item`` of a settings class."""
    return item.metadata.get("key") or item.name


def _is_required(item: Field[Any]) -> bool:
    return item.default is MISSING and item.default_factory is MISSING


def _refuse_unknown(table: Table, known: tuple[str, ...]) -> None:
    if unknown := sorted(table.data.keys() - set(known)):
        name = unknown[0]
        if meant := closest_key(name, known):
            raise misspelt_key_error(table.under(name), name, meant)
        raise ConfigError(
            "there is no such setting",
            key=table.under(name),
            fix=f"the settings here are {', '.join(sorted(known))}",
        )


def flag(table: Table, name: str) -> bool:
    """Read a boolean from the table: the value of the key ``name``; False if it is missing.

    Raises ``ConfigError`` if the value is not a boolean.
    """
    return table.flag(name, default=False)


def text(table: Table, name: str) -> str:
    """Read a string from the table: the value of the key ``name``."""
    return table.text(name)


def texts(table: Table, name: str) -> tuple[str, ...]:
    """Read a list of strings from the table: the value of the key ``name``.

    Like the other functions here that read a value, this raises ``ConfigError`` for a different
    type.
    """
    return table.texts(name)


def choice(*choices: Value) -> Callable[[Table, str], Value]:
    """Return a function that reads a string from a table; it must be one of ``choices``."""

    def read(table: Table, name: str) -> Value:
        chosen: Value = table.choice(name, choices, None)
        return chosen

    return read


def whole_number(low: int, high: int) -> Callable[[Table, str], int]:
    """Return a function that reads an integer from a table; it must be from ``low`` to ``high``."""

    def read(table: Table, name: str) -> int:
        if not low <= (number := table.integer(name)) <= high:
            raise ConfigError(
                f"{number} is out of range", key=table.under(name), fix=f"write {low} to {high}"
            )
        return number

    return read


def duration(
    low: timedelta = timedelta(0), high: timedelta | None = None
) -> Callable[[Table, str], timedelta]:
    """Return a function that reads a duration, such as ``90s``, from a table.

    The duration must be from ``low`` to ``high``; if ``high`` is None, there is no upper limit.
    """

    def read(table: Table, name: str) -> timedelta:
        value = parsed(parse_duration)(table, name)
        if value < low or (high is not None and value > high):
            upper = f"to {format_duration(high)}" if high is not None else "or more"
            raise ConfigError(
                f"{table.text(name)} is out of range",
                key=table.under(name),
                fix=f"write {format_duration(low)} {upper}",
            )
        return value

    return read


def parsed(parse: Callable[[str], Value]) -> Callable[[Table, str], Value]:
    """Return a function that reads a string from a table and converts it with ``parse``.

    An ``InputError`` of ``parse`` becomes a ``ConfigError`` that names the key in the file.
    """

    def read(table: Table, name: str) -> Value:
        try:
            return parse(table.text(name))
        except (HostError, InputError) as exc:
            raise ConfigError(exc.problem, key=table.under(name), fix=exc.fix) from exc

    return read


def table_of(kind: type[Value]) -> Callable[[Table, str], Value]:
    """Return a function that reads a nested table into the settings class ``kind``."""

    def read(table: Table, name: str) -> Value:
        return read_table(kind, cast("Table", table.table(name)))  # the key is in the table

    return read


def tables_of(kind: type[Value]) -> Callable[[Table, str], tuple[Value, ...]]:
    """Return a function that reads an array of tables, each into the settings class ``kind``."""

    def read(table: Table, name: str) -> tuple[Value, ...]:
        return tuple(read_table(kind, item) for item in table.tables(name))

    return read
