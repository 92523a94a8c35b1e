"""Tokens of programs and workers: every statement on their table.

The table contains no secret: of each token, it has Argon2's encoded hash of the secret part.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy import exists, or_, select

from certpin.errors import InputError
from certpin_watch.permissions import WORKER, location_of
from certpin_watch.store.tables.service import TOKENS

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection
    from sqlalchemy.engine import RowMapping


@dataclass(frozen=True)
class Token:
    """The token of a program or worker. ``secret`` is Argon2's encoded hash of its secret part.

    Times are in seconds since 1970.
    """

    id: str
    name: str
    secret: str = field(repr=False)
    scopes: frozenset[str]
    made_by: str
    made_at: int
    until: int | None = None
    used_at: int | None = None
    revoked_at: int | None = None

    @property
    def location(self) -> str:
        """The location of the worker that has this token; empty for other tokens."""
        return location_of(self.scopes)

    def is_valid(self, now: datetime) -> bool:
        """Return True if the token is neither revoked nor expired."""
        expired = self.until is not None and self.until <= now.timestamp()
        return self.revoked_at is None and not expired


_TOKEN = tuple(TOKENS.c[name] for name in Token.__dataclass_fields__)


def add_token(connection: Connection, token: Token) -> None:
    """Store a new token."""
    row = {name: getattr(token, name) for name in Token.__dataclass_fields__}
    row["scopes"] = " ".join(sorted(token.scopes))
    connection.execute(TOKENS.insert().values(row))


def find_token(connection: Connection, token_id: str) -> Token | None:
    """Return the token with this ID, valid or not; None if it does not exist."""
    row = connection.execute(select(*_TOKEN).where(TOKENS.c.id == token_id)).first()
    return _token(row._mapping) if row else None


def all_tokens(connection: Connection) -> list[Token]:
    """Return all tokens, including revoked ones, newest first."""
    rows = connection.execute(select(*_TOKEN).order_by(TOKENS.c.made_at.desc(), TOKENS.c.id))
    return [_token(row._mapping) for row in rows]


def has_tokens(connection: Connection) -> bool:
    """Return True if at least one token is not revoked."""
    query = select(exists().select_from(TOKENS).where(TOKENS.c.revoked_at.is_(None)))
    return bool(connection.execute(query).scalar())


def worker_tokens(connection: Connection, now: datetime, limit: int) -> list[Token]:
    """Return the tokens of workers that are neither revoked nor expired, by location and name."""
    query = (
        select(*_TOKEN)
        .where(
            TOKENS.c.scopes.startswith(f"{WORKER}:", autoescape=True),
            TOKENS.c.revoked_at.is_(None),
            or_(TOKENS.c.until.is_(None), TOKENS.c.until > int(now.timestamp())),
        )
        .order_by(TOKENS.c.scopes, TOKENS.c.name, TOKENS.c.id)
        .limit(limit)
    )
    return [_token(row._mapping) for row in connection.execute(query)]


def revoke_token(connection: Connection, token_id: str, now: datetime) -> None:
    """Revoke a token, so that it is refused from its next use on.

    Raises:
        InputError: there is no such token, or it is revoked already.
    """
    revoked = connection.execute(
        TOKENS.update()
        .where(TOKENS.c.id == token_id, TOKENS.c.revoked_at.is_(None))
        .values(revoked_at=int(now.timestamp()))
    )
    if not revoked.rowcount:
        raise InputError(
            f"there is no token {token_id[:80]!r} that could be revoked",
            fix="certpin watch token list",
        )


def record_token_use(connection: Connection, token_id: str, now: datetime) -> None:
    """Store when a token was last used."""
    connection.execute(
        TOKENS.update().where(TOKENS.c.id == token_id).values(used_at=int(now.timestamp()))
    )


def _token(row: RowMapping) -> Token:
    return Token(**{**row, "scopes": frozenset(row["scopes"].split())})
