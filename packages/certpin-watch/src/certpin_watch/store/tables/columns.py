"""TODO: one docstring."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, MetaData, Text

# Names that migrations can rely on, the same in every database.
METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_N_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# What reports say of themselves, in the order in which a sum's key has it.
TRAITS = (
    "pin_set", "version", "app", "app_version", "platform", "network", "kind", "decision", "reason",
)  # fmt: skip

# SQLite numbers rows by itself only where the type is INTEGER.
_ID = BigInteger().with_variant(Integer, "sqlite")


def number() -> Column[int]:
    """The primary key of rows that have no other name."""
    return Column("id", _ID, primary_key=True, autoincrement=True)


def moment(name: str, **more: Any) -> Column[int]:
    """Seconds since 1970, UTC."""
    return Column(name, BigInteger, nullable=more.pop("nullable", False), **more)


def count(name: str = "count") -> Column[int]:
    """How many."""
    return Column(name, BigInteger, nullable=False)


def text(name: str, **more: Any) -> Column[str]:
    """A text; empty where there is nothing to say, so that groups can be told apart."""
    return Column(name, Text, nullable=more.pop("nullable", False), **more)


def digest(name: str, **more: Any) -> Column[bytes]:
    """A SHA-256 as bytes; empty where there is nothing that it could be of."""
    return Column(name, LargeBinary, nullable=more.pop("nullable", False), **more)


def traits() -> tuple[Column[Any], ...]:
    """A column for each of ``TRAITS``; ``version`` alone is a number."""
    return tuple(count(name) if name == "version" else text(name) for name in TRAITS)
