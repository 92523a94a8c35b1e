"""The table ``[collector]`` of ``watch.toml``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from certpin.pinfile.fields import Table

KNOWN: tuple[str, ...] = ()


@dataclass(frozen=True)
class Settings:
    """What stands in the table; each has a default."""


def read(table: Table) -> Settings:
    """Read the table. Raises ``ConfigError``."""
    del table
    return Settings()
