"""Settings of the database that would lose what was told to be safe, as far as they can be seen.

SQLite's are the watch's own (``on_sqlite``). PostgreSQL's are whoever runs it's. NOT seen: what a
disk, a virtual machine or a file system makes of ``fsync``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from sqlalchemy import Connection

# The setting, the value that is weak, and what it means (PostgreSQL's documentation, 19.5).
_WEAK = (
    ("fsync", "off", "a loss of power may destroy the database, with all that was answered"),
    ("full_page_writes", "off", "a loss of power may destroy pages that cannot be restored"),
    # The watch sets it for its own sessions; a pooler in between may lose that.
    ("synchronous_commit", "off", "reports that were answered a moment before a crash are lost"),
)


def weaknesses(connection: Connection) -> tuple[str, ...]:
    """A sentence for each; none where all is as it should be."""
    if connection.dialect.name == "sqlite":
        return ()
    asked = ", ".join(f"current_setting('{name}')" for name, _, _ in _WEAK)
    values = connection.execute(text(f"SELECT {asked}")).one()  # names from above
    return tuple(
        f"PostgreSQL runs with {name} = {weak}: {meaning}"
        for (name, weak, meaning), value in zip(_WEAK, values, strict=True)
        if value == weak
    )
