"""Rows for every table, with values of every column type; and all rows of a database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Boolean, Integer, LargeBinary, MetaData, insert, select

from certpin_watch.store.tables import METADATA

if TYPE_CHECKING:
    from sqlalchemy import Column

    from certpin_watch.store import Store


# A back-up leaves these out: docs/operate/operations.md names them.
TRANSIENT = {table.name for table in METADATA.sorted_tables if table.info.get("transient")}


def fill(store: Store, count: int = 3, tables: MetaData = METADATA) -> None:
    """Insert rows into every table."""
    with store.write() as connection:
        for table in tables.sorted_tables:
            rows = [
                {column.name: value(column, number) for column in table.columns}
                for number in range(1, count + 1)
            ]
            connection.execute(insert(table), rows)


def value(column: Column[Any], number: int) -> Any:
    """Return a value for a column, a different one for each number."""
    if column.nullable and number % 2:
        return None
    if isinstance(column.type, Boolean):
        return bool(number % 2)
    if isinstance(column.type, LargeBinary):
        return bytes([number % 256, 0, 255]) + number.to_bytes(8)
    if isinstance(column.type, Integer):
        return number if column.primary_key or column.foreign_keys else 2**62 + number
    return f"{column.name} {number} ' \" \N{SNOWMAN} \U0001f512"


def rows_of(store: Store, tables: MetaData = METADATA) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of every table that isn't transient, sorted."""
    with store.read() as connection:
        return {
            table.name: sorted((tuple(row) for row in connection.execute(select(table))), key=repr)
            for table in tables.sorted_tables
            if table.name not in TRANSIENT
        }
