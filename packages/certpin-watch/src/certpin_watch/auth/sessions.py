"""Sessions of people. A cookie holds 256 random bits, the database their SHA-256."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, or_, select

from certpin.x509 import printable
from certpin_watch.store.tables.service import ACCOUNTS, SESSIONS

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection, Select
    from sqlalchemy.engine import RowMapping

    from certpin_watch.auth.accounts import Account
    from certpin_watch.auth.settings import Settings

MOST_EACH = 32  # sessions of one person; the oldest ends for a new one
_NOTED_EACH = 60  # seconds between two writes of when a session was last seen
_AGENT = 120  # characters of what a browser says it is
_BYTES = 32


@dataclass(frozen=True)
class Owner:
    """Whose session: an account, or somebody whom an OpenID provider named (``subject``)."""

    account: int | None
    name: str
    role: str
    subject: str = ""

    @classmethod
    def of(cls, account: Account) -> Owner:
        """The owner of an account's sessions."""
        return cls(account.number, account.name, account.role)


@dataclass(frozen=True)
class Session:
    """A session that holds. Moments are seconds since 1970."""

    digest: bytes
    owner: Owner
    source: str
    agent: str
    made_at: int
    seen_at: int
    until: int

    @property
    def public_id(self) -> str:
        """What a page can show and a form can name: nobody finds the digest or the cookie by it."""
        return hashlib.sha256(b"shown" + self.digest).hexdigest()[:16]


def digest_of(secret: str) -> bytes:
    """What is kept of a session's cookie."""
    return hashlib.sha256(secret.encode()).digest()


def begin(
    connection: Connection,
    owner: Owner,
    settings: Settings,
    now: datetime,
    *,
    source: str,
    agent: str,
) -> str:
    """Make a session: what its cookie holds. It is always a new one, never one that was brought."""
    secret, at = secrets.token_urlsafe(_BYTES), int(now.timestamp())
    _clear(connection, owner, settings, at)
    connection.execute(
        SESSIONS.insert().values(
            id=digest_of(secret),
            account=owner.account,
            subject=owner.subject,
            name=owner.name,
            role=owner.role,
            source=source,
            agent=printable(agent[:_AGENT])[:_AGENT],
            made_at=at,
            seen_at=at,
            until=at + settings.session_seconds,
        )
    )
    return secret


def go_on(connection: Connection, old: Session, owner: Owner, now: datetime) -> str:
    """Let a session go on until its own end, as what the provider says of its owner now.

    What its cookie holds is new.
    """
    secret, at = secrets.token_urlsafe(_BYTES), int(now.timestamp())
    connection.execute(
        SESSIONS.update()
        .where(SESSIONS.c.id == old.digest)
        .values(id=digest_of(secret), name=owner.name, role=owner.role, made_at=at, seen_at=at)
    )
    return secret


def find(connection: Connection, secret: str, settings: Settings, now: datetime) -> Session | None:
    """The session of a cookie, if it still holds. Name and role are those of the account now."""
    at = int(now.timestamp())
    found = SESSIONS.c.id == digest_of(secret)
    query = _sessions().where(found, _holds(settings, at), _has_owner())
    row = connection.execute(query).first()
    return _session(row._mapping) if row else None


def kept(connection: Connection, digest: bytes) -> Session | None:
    """A session by what is kept of its cookie, whether it holds or not."""
    row = connection.execute(_sessions().where(SESSIONS.c.id == digest)).first()
    return _session(row._mapping) if row else None


def owner_of(connection: Connection, digest: bytes) -> Owner | None:
    """Whose session it is."""
    found = kept(connection, digest)
    return found.owner if found else None


def is_due(session: Session, now: datetime) -> bool:
    """Whether it is time to write down that it was seen."""
    return now.timestamp() - session.seen_at >= _NOTED_EACH


def note_seen(connection: Connection, session: Session, now: datetime) -> None:
    """Write down that it was seen."""
    connection.execute(
        SESSIONS.update()
        .where(SESSIONS.c.id == session.digest)
        .values(seen_at=int(now.timestamp()))
    )


def of_owner(
    connection: Connection, owner: Owner, settings: Settings, now: datetime
) -> list[Session]:
    """Those of one person that hold, the newest first."""
    query = _sessions().where(_owned(owner), _holds(settings, int(now.timestamp())))
    rows = connection.execute(query.order_by(SESSIONS.c.made_at.desc(), SESSIONS.c.id))
    return [_session(row._mapping) for row in rows]


def end(connection: Connection, digest: bytes) -> None:
    """Sign out."""
    connection.execute(SESSIONS.delete().where(SESSIONS.c.id == digest))


def end_all(connection: Connection, owner: Owner) -> None:
    """Sign one person out everywhere."""
    connection.execute(SESSIONS.delete().where(_owned(owner)))


def _clear(connection: Connection, owner: Owner, settings: Settings, at: int) -> None:
    """Take away what is over, and the oldest of somebody who has too many."""
    connection.execute(SESSIONS.delete().where(~_holds(settings, at)))
    newest = (
        select(SESSIONS.c.id)
        .where(_owned(owner))
        .order_by(SESSIONS.c.made_at.desc())
        .limit(MOST_EACH - 1)
    )
    connection.execute(SESSIONS.delete().where(_owned(owner), SESSIONS.c.id.not_in(newest)))


def _sessions() -> Select[Any]:
    # The name, too: SQLite may give the number of an account that is gone to the next one.
    same = (SESSIONS.c.account == ACCOUNTS.c.id) & (SESSIONS.c.name == ACCOUNTS.c.name)
    named = SESSIONS.outerjoin(ACCOUNTS, same)
    return select(
        SESSIONS,
        func.coalesce(ACCOUNTS.c.name, SESSIONS.c.name).label("now_name"),
        func.coalesce(ACCOUNTS.c.role, SESSIONS.c.role).label("now_role"),
    ).select_from(named)


def _has_owner() -> ColumnElement[bool]:
    """Nobody stays signed in whose account is gone, however it went."""
    return or_(SESSIONS.c.account.is_(None), ACCOUNTS.c.id.is_not(None))


def _holds(settings: Settings, at: int) -> ColumnElement[bool]:
    """Two ends: one for those who went away, one for everybody.

    One whose end is further away than any session's was begun by a clock that ran ahead, and would
    hold for as long again as that was.
    """
    longest = at + settings.session_seconds + settings.idle_seconds
    ends = (SESSIONS.c.until > at) & (SESSIONS.c.until <= longest)
    return ends & (SESSIONS.c.seen_at > at - settings.idle_seconds)


def _owned(owner: Owner) -> ColumnElement[bool]:
    if owner.account is not None:
        return SESSIONS.c.account == owner.account
    return SESSIONS.c.account.is_(None) & (SESSIONS.c.subject == owner.subject)


def _session(row: RowMapping) -> Session:
    owner = Owner(row["account"], row["now_name"], row["now_role"], row["subject"])
    rest = ("source", "agent", "made_at", "seen_at", "until")
    return Session(row["id"], owner, *(row[name] for name in rest))
