"""``METADATA``, the collection of all tables, and functions that create common kinds of columns."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, MetaData, Text

# Migrations rely on these names of constraints and indexes, which are the same in every database.
METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_N_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# The fields of a report that describe the app and the failure. The order is that of the key that
# is hashed for a sum.
TRAITS = (
    "pin_set", "version", "app", "app_version", "platform", "network", "kind", "decision", "reason",
)  # fmt: skip

# SQLite assigns row numbers only if the type is INTEGER.
_ID = BigInteger().with_variant(Integer, "sqlite")


def row_id() -> Column[int]:
    """Return an SQL column ``id`` as primary key, for a table without a natural key."""
    return Column("id", _ID, primary_key=True, autoincrement=True)


def timestamp(name: str, **options: Any) -> Column[int]:
    """Return an SQL column for a time: seconds since 1970 (UTC), not null by default.

    ``name`` is the name of the column. ``options`` are further arguments of SQLAlchemy's
    ``Column``.
    """
    return Column(name, BigInteger, nullable=options.pop("nullable", False), **options)


def counter(name: str = "count") -> Column[int]:
    """Return an SQL column with this name for a whole number, not null."""
    return Column(name, BigInteger, nullable=False)


def text(name: str, **options: Any) -> Column[str]:
    """Return an SQL column for text, not null by default.

    A missing value is stored as an empty text instead of NULL, because SQL does not treat two NULL
    values as equal. ``name`` is the name of the column. ``options`` are further arguments of
    SQLAlchemy's ``Column``.
    """
    return Column(name, Text, nullable=options.pop("nullable", False), **options)


def digest(name: str, **options: Any) -> Column[bytes]:
    """Return an SQL column for a SHA-256 digest as bytes. A missing value is ``b""``, not NULL.

    ``name`` is the name of the column. ``options`` are further arguments of SQLAlchemy's
    ``Column``.
    """
    return Column(name, LargeBinary, nullable=options.pop("nullable", False), **options)


def trait_columns() -> tuple[Column[Any], ...]:
    """Return a column for each field of a report except host and chain (the fields ``TRAITS``).

    The column ``version`` is a number, all others are text.
    """
    return tuple(counter(name) if name == "version" else text(name) for name in TRAITS)
