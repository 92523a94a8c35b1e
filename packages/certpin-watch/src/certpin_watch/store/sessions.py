"""Sessions of browsers, and failed logins: every SQL statement on their tables.

The tables contain no secret: a session's cookie is stored as its SHA-256. All times are in seconds
since 1970, except for arguments of type ``datetime``.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import case, delete, func, or_, select, update

from certpin_watch.store.engine import insert
from certpin_watch.store.tables.service import ACCOUNTS, GUESSES, SESSIONS

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection, Select
    from sqlalchemy.engine import RowMapping

    from certpin_watch.settings import AuthSettings


MAX_SESSIONS = 32  # of one user; a new one replaces the oldest
FAILURES_KEPT = 900.0  # seconds after the last failure


class SessionOwner(NamedTuple):
    """The user who is logged in with a session.

    Attributes:
        account: the ID of an account; None for a user of an OpenID provider.
        name: the name of the user.
        role: a role in ``permissions.ROLES``, which decides which actions are permitted.
        subject: the OpenID provider's identifier of the user; empty for an account.
    """

    account: int | None
    name: str
    role: str
    subject: str = ""


@dataclass(frozen=True)
class Session:
    """The login of a user in a browser. All times are in seconds since 1970.

    Attributes:
        digest: the SHA-256 of the cookie.
        owner: the user.
        source: the network of the browser.
        agent: the name of the browser.
        made_at: when the current cookie was created: at login, or when it was last replaced.
        seen_at: the last use.
        until: when the session ends at the latest; it ends earlier if it isn't used.
    """

    digest: bytes
    owner: SessionOwner
    source: str
    agent: str
    made_at: int
    seen_at: int
    until: int

    @property
    def public_id(self) -> str:
        """The session's ID in pages and forms, from which the cookie can't be derived."""
        return sha256(b"shown" + self.digest).hexdigest()[:16]


def add_session(connection: Connection, session: Session, limits: AuthSettings) -> None:
    """Store a new session, and delete all sessions that have ended.

    If the user has too many sessions, the oldest are deleted. ``limits`` has the settings for how
    long a session lasts.
    """
    owner, at = session.owner, session.made_at
    connection.execute(SESSIONS.delete().where(~_is_valid(limits, at)))
    newest = (
        select(SESSIONS.c.id)
        .where(_is_owned_by(owner))
        .order_by(SESSIONS.c.made_at.desc())
        .limit(MAX_SESSIONS - 1)
    )
    connection.execute(SESSIONS.delete().where(_is_owned_by(owner), SESSIONS.c.id.not_in(newest)))
    connection.execute(
        SESSIONS.insert().values(
            id=session.digest,
            account=owner.account,
            subject=owner.subject,
            name=owner.name,
            role=owner.role,
            source=session.source,
            agent=session.agent,
            made_at=at,
            seen_at=session.seen_at,
            until=session.until,
        )
    )


def renew_session(
    connection: Connection, old: Session, digest: bytes, owner: SessionOwner, now: datetime
) -> None:
    """Give a session a new cookie, name and role, and record that it was used now.

    The latest time at which the session ends stays the same. Nothing changes if the session is not
    stored any more.

    Args:
        connection: a transaction that may write.
        old: the session as it is stored.
        digest: the SHA-256 of the new cookie.
        owner: the user, with the new name and role.
        now: the current time.
    """
    at = int(now.timestamp())
    connection.execute(
        SESSIONS.update()
        .where(SESSIONS.c.id == old.digest)
        .values(id=digest, name=owner.name, role=owner.role, made_at=at, seen_at=at)
    )


def find_session(
    connection: Connection, digest: bytes, limits: AuthSettings, now: datetime
) -> Session | None:
    """Return the session that a cookie belongs to, with the current role of its account.

    Args:
        connection: a transaction.
        digest: the SHA-256 of the cookie.
        limits: the settings for how long a session lasts.
        now: the current time.

    Returns:
        The session; None if there is none with this cookie, if it has ended, or if its account was
        removed.
    """
    valid = _is_valid(limits, int(now.timestamp()))
    has_owner = or_(SESSIONS.c.account.is_(None), ACCOUNTS.c.id.is_not(None))
    row = connection.execute(
        _select_sessions().where(SESSIONS.c.id == digest, valid, has_owner)
    ).first()
    return _session(row._mapping) if row else None


def stored_session(connection: Connection, digest: bytes) -> Session | None:
    """Return the session that a cookie belongs to, even if it has expired; None if there is none.

    ``digest`` is the SHA-256 of the cookie.
    """
    row = connection.execute(_select_sessions().where(SESSIONS.c.id == digest)).first()
    return _session(row._mapping) if row else None


def sessions_of(
    connection: Connection, owner: SessionOwner, limits: AuthSettings, now: datetime
) -> list[Session]:
    """Return the sessions of a user that have not ended, newest first.

    ``owner`` is the user. ``limits`` has the settings for how long a session lasts.
    """
    query = _select_sessions().where(_is_owned_by(owner), _is_valid(limits, int(now.timestamp())))
    rows = connection.execute(query.order_by(SESSIONS.c.made_at.desc(), SESSIONS.c.id))
    return [_session(row._mapping) for row in rows]


def record_session_use(connection: Connection, session: Session, now: datetime) -> None:
    """Store ``now`` as the time at which a session was last used.

    A session that isn't used for some time ends. Nothing is stored if it has been deleted.
    """
    connection.execute(
        SESSIONS.update()
        .where(SESSIONS.c.id == session.digest)
        .values(seen_at=int(now.timestamp()))
    )


def end_session(connection: Connection, digest: bytes) -> None:
    """Delete the session that a cookie belongs to. ``digest`` is the SHA-256 of the cookie."""
    connection.execute(SESSIONS.delete().where(SESSIONS.c.id == digest))


def end_sessions_of(connection: Connection, owner: SessionOwner) -> None:
    """Delete all sessions of the user ``owner``, so that all browsers have to log in again."""
    connection.execute(SESSIONS.delete().where(_is_owned_by(owner)))


def _select_sessions() -> Select[Any]:
    # The name, too: SQLite may give the ID of a deleted account to the next one.
    same = (SESSIONS.c.account == ACCOUNTS.c.id) & (SESSIONS.c.name == ACCOUNTS.c.name)
    return select(
        SESSIONS,
        func.coalesce(ACCOUNTS.c.name, SESSIONS.c.name).label("current_name"),
        func.coalesce(ACCOUNTS.c.role, SESSIONS.c.role).label("current_role"),
    ).select_from(SESSIONS.outerjoin(ACCOUNTS, same))


def _is_valid(limits: AuthSettings, at: int) -> ColumnElement[bool]:
    # If the end is further away than that of any new session, the clock ran ahead at the start.
    latest = at + limits.session_seconds + limits.idle_seconds
    ends = (SESSIONS.c.until > at) & (SESSIONS.c.until <= latest)
    return ends & (SESSIONS.c.seen_at > at - limits.idle_seconds)


def _is_owned_by(owner: SessionOwner) -> ColumnElement[bool]:
    if owner.account is not None:
        return SESSIONS.c.account == owner.account
    return SESSIONS.c.account.is_(None) & (SESSIONS.c.subject == owner.subject)


def _session(row: RowMapping) -> Session:
    owner = SessionOwner(row["account"], row["current_name"], row["current_role"], row["subject"])
    rest = ("source", "agent", "made_at", "seen_at", "until")
    return Session(row["id"], owner, *(row[name] for name in rest))


@dataclass(frozen=True)
class FailureCount:
    """The number of failed logins from a network, or to an account.

    ``last`` is the time of the last one, in seconds since 1970.
    """

    count: int
    last: float


def lock_failures(connection: Connection, key: bytes, at: float) -> FailureCount:
    """Return the number of failed logins from a network or to an account, and lock its row.

    The row stays locked until the transaction ends.

    Args:
        connection: a transaction.
        key: a digest of the client's network or of the account's name.
        at: the current time, in seconds since 1970.
    """
    added = insert(connection, GUESSES).values(who=key, count=0, last_at=int(at))
    locked = added.on_conflict_do_update(
        index_elements=["who"], set_={"count": GUESSES.c.count}
    ).returning(GUESSES.c.count, GUESSES.c.last_at)
    return FailureCount(*connection.execute(locked).one())


def set_failures(connection: Connection, key: bytes, failures: FailureCount) -> None:
    """Store the number of failed logins from a network or to an account.

    ``key`` is a digest of the network or of the account's name. Call ``lock_failures`` before.
    """
    values = {"count": failures.count, "last_at": int(failures.last)}
    connection.execute(update(GUESSES).where(GUESSES.c.who == key).values(**values))


def clear_failures(
    connection: Connection, source: bytes, pair: bytes, account: bytes, at: float, last: float
) -> None:
    """Subtract the failed logins that no longer count after a successful login.

    Two kinds no longer count: the failures of the client's network at this account; and this
    attempt, which was counted as a failure before the password was checked. Failures of the network
    at other accounts still count. Otherwise a user who guesses an administrator's password could
    reset the count by logging in to their own account.

    Args:
        connection: a transaction.
        source: a digest of the client's network, the key of its failures at all accounts.
        pair: a digest of the network and the account's name, the key of its failures at this
            account.
        account: a digest of the account's name, the key of the failures of all networks.
        at: the time of this attempt, in seconds since 1970.
        last: the time of the network's last failure before this attempt. It is stored again as the
            time of the network's last failure.
    """
    # The order of the locks is that of an attempt.
    connection.execute(select(GUESSES.c.who).where(GUESSES.c.who == source).with_for_update())
    deleted = delete(GUESSES).where(GUESSES.c.who == pair).returning(GUESSES.c.count)
    _withdraw(connection, source, connection.execute(deleted).scalar() or 0)
    of_this = (GUESSES.c.who == source) & (GUESSES.c.last_at == int(at))
    connection.execute(update(GUESSES).where(of_this).values(last_at=int(last)))
    _withdraw(connection, account, 1)


def _withdraw(connection: Connection, key: bytes, failures: int) -> None:
    fewer = case((GUESSES.c.count > failures, GUESSES.c.count - failures), else_=0)
    connection.execute(update(GUESSES).where(GUESSES.c.who == key).values(count=fewer))


def sweep_failures(connection: Connection, at: float, limit: int) -> None:
    """Delete up to ``limit`` records of failed logins that are older than ``FAILURES_KEPT``.

    ``at`` is the current time in Unix seconds. Records that another transaction has locked are not
    deleted.
    """
    outdated = select(GUESSES.c.who).where(GUESSES.c.last_at < at - FAILURES_KEPT).limit(limit)
    keys = connection.execute(outdated.with_for_update(skip_locked=True)).scalars().all()
    if keys:
        connection.execute(delete(GUESSES).where(GUESSES.c.who.in_(keys)))
