"""Tokens: credentials of programs, ``certpin_ID_SECRET``.

The ID is found in the database, and the secret is compared by Argon2. ``token_text`` has the form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from certpin.errors import ConfigError, InputError
from certpin_watch.auth import passwords
from certpin_watch.auth.roles import SCOPES, location_of
from certpin_watch.auth.token_text import new_token, token_text
from certpin_watch.locations import check_location
from certpin_watch.store.tables.service import TOKENS

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from sqlalchemy import Connection

_LONGEST_NAME = 80


@dataclass(frozen=True)
class Token:
    """What is kept of a token. Moments are seconds since 1970; the secret is not in it."""

    id: str
    name: str
    scopes: frozenset[str]
    made_by: str
    made_at: int
    until: int | None
    used_at: int | None
    revoked_at: int | None

    @property
    def location(self) -> str:
        """The location that it is for, if it is a worker's; else empty."""
        return location_of(self.scopes)

    def is_valid(self, now: datetime) -> bool:
        """Whether it was neither revoked nor past its end."""
        ended = self.until is not None and self.until <= now.timestamp()
        return self.revoked_at is None and not ended


_COLUMNS = tuple(TOKENS.c[name] for name in Token.__dataclass_fields__)


def make(
    connection: Connection,
    name: str,
    scopes: Collection[str],
    *,
    by: str,
    now: datetime,
    until: datetime | None = None,
) -> tuple[str, str]:
    """Make a token: its id, and the whole of it, which nobody can show again.

    Raises ``InputError``.
    """
    _refuse(name, scopes)
    token_id, secret = new_token()
    row = {
        "id": token_id,
        "name": name,
        "secret": passwords.TOKENS.hash(secret),
        "scopes": " ".join(sorted(scopes)),
        "made_by": by,
        "made_at": int(now.timestamp()),
        "until": None if until is None else int(until.timestamp()),
    }
    connection.execute(TOKENS.insert().values(row))
    return token_id, token_text(token_id, secret)


def find(connection: Connection, token_id: str) -> tuple[Token, str] | None:
    """The token of that id, and Argon2's text of its secret."""
    query = select(*_COLUMNS, TOKENS.c.secret).where(TOKENS.c.id == token_id)
    row = connection.execute(query).first()
    return (_token(row[:-1]), row[-1]) if row else None


def every(connection: Connection) -> list[Token]:
    """All tokens, the newest first; those that were revoked, too."""
    rows = connection.execute(select(*_COLUMNS).order_by(TOKENS.c.made_at.desc(), TOKENS.c.id))
    return [_token(tuple(row)) for row in rows]


def revoke(connection: Connection, token_id: str, now: datetime) -> None:
    """End a token, from its next use on. Raises ``InputError`` where there is none to end."""
    done = connection.execute(
        TOKENS.update()
        .where(TOKENS.c.id == token_id, TOKENS.c.revoked_at.is_(None))
        .values(revoked_at=int(now.timestamp()))
    )
    if not done.rowcount:
        raise InputError(
            f"there is no token {token_id[:80]!r} that could be revoked",
            fix="certpin watch token list",
        )


def note_use(connection: Connection, token_id: str, now: datetime) -> None:
    """Remember when it was last used."""
    connection.execute(
        TOKENS.update().where(TOKENS.c.id == token_id).values(used_at=int(now.timestamp()))
    )


def _refuse(name: str, scopes: Collection[str]) -> None:
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        raise InputError(
            "a token needs a name that can be read", fix=f"{_LONGEST_NAME} characters at most"
        )
    if location := location_of(frozenset(scopes)):
        try:
            check_location(location, "")
        except ConfigError as exc:
            raise InputError(exc.problem, fix=exc.fix) from exc
    elif not scopes or set(scopes) - set(SCOPES):
        raise InputError("a token needs scopes that exist", fix=f"take of {', '.join(SCOPES)}")


def _token(row: tuple[object, ...]) -> Token:
    fields = dict(zip(Token.__dataclass_fields__, row, strict=True))
    return Token(**{**fields, "scopes": frozenset(str(fields["scopes"]).split())})  # type: ignore[arg-type]  # the columns are those fields
