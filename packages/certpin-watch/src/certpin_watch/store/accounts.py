"""Accounts, sessions and failed logins: every statement on their tables.

The tables contain no secret: a password is stored as Argon2's encoded hash, a session's cookie as
its SHA-256. Argon2 is computed before a transaction begins, because SQLite has one writer at a
time. All times are in seconds since 1970, except for arguments of type ``datetime``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple, NewType, Protocol

from sqlalchemy import case, delete, exists, func, or_, select, update

from certpin.errors import InputError
from certpin_watch.permissions import ROLES
from certpin_watch.store.engine import insert
from certpin_watch.store.tables.service import ACCOUNTS, GUESSES, SESSIONS

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection, Select
    from sqlalchemy.engine import RowMapping

MAX_SESSIONS = 32  # of one user; a new one replaces the oldest
FAILURES_KEPT = 900.0  # seconds after the last failure

# No colon: `openid:anna` and `cli:anna` in the audit log are never a local account.
_ACCOUNT_NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}")

# The text of Argon2, with its parameters, of a password that was accepted.
PasswordHash = NewType("PasswordHash", str)


@dataclass(frozen=True)
class Account:
    """A user with a password. ``password`` is Argon2's encoded hash of it."""

    id: int
    name: str
    role: str
    made_at: int
    login_at: int | None
    password: PasswordHash = field(repr=False)


_ACCOUNT = tuple(ACCOUNTS.c[name] for name in Account.__dataclass_fields__)


def add_account(
    connection: Connection, name: str, role: str, password: PasswordHash, now: datetime
) -> None:
    """Create an account.

    Raises:
        InputError: the name is invalid or taken, or there is no such role.
    """
    _check_role(role)
    if not _ACCOUNT_NAME.fullmatch(name):
        raise InputError(
            f"{name[:80]!r} is not a valid account name",
            fix="use small letters, digits and . _ @ + -, 64 at most",
        )
    at = int(now.timestamp())
    row = {"name": name, "role": role, "password": password, "made_at": at, "password_at": at}
    added = connection.execute(
        insert(connection, ACCOUNTS).values(row).on_conflict_do_nothing(index_elements=["name"])
    )
    if not added.rowcount:
        raise InputError(f"there is already an account {name!r}", fix="use another name")


def find_account(connection: Connection, name: str) -> Account | None:
    """Return the account of that name; None if there is none."""
    row = connection.execute(select(*_ACCOUNT).where(ACCOUNTS.c.name == name)).first()
    return Account(*row) if row else None


def all_accounts(connection: Connection) -> list[Account]:
    """Return all accounts, ordered by name."""
    rows = connection.execute(select(*_ACCOUNT).order_by(ACCOUNTS.c.name))
    return [Account(*row) for row in rows]


def has_accounts(connection: Connection) -> bool:
    """Return True if at least one account exists."""
    return bool(connection.execute(select(exists().select_from(ACCOUNTS))).scalar())


def remove_account(connection: Connection, name: str) -> None:
    """Delete an account and its sessions. Raises ``InputError`` if there is none."""
    account = _account_id(connection, name)
    connection.execute(SESSIONS.delete().where(SESSIONS.c.account == account))
    connection.execute(ACCOUNTS.delete().where(ACCOUNTS.c.id == account))


def set_role(connection: Connection, name: str, role: str) -> None:
    """Change the role of an account, and end its sessions.

    Raises:
        InputError: there is no such account or role.
    """
    _check_role(role)
    account = _account_id(connection, name)
    connection.execute(ACCOUNTS.update().where(ACCOUNTS.c.id == account).values(role=role))
    connection.execute(SESSIONS.delete().where(SESSIONS.c.account == account))


def set_password(connection: Connection, name: str, password: PasswordHash, now: datetime) -> None:
    """Change the password of an account, and end its sessions.

    Raises:
        InputError: there is no such account.
    """
    account = _account_id(connection, name)
    connection.execute(
        ACCOUNTS.update()
        .where(ACCOUNTS.c.id == account)
        .values(password=password, password_at=int(now.timestamp()))
    )
    connection.execute(SESSIONS.delete().where(SESSIONS.c.account == account))


def record_login(
    connection: Connection, account: Account, renewed: PasswordHash | None, now: datetime
) -> bool:
    """Store the time of a login, and the new password hash if there is one.

    Args:
        connection: a transaction.
        account: as it was read when its password was checked.
        renewed: a hash of the same password that replaces the stored one.
        now: the time of the login.

    Returns:
        False if the account was removed or got another password in the meantime.
    """
    stored = ACCOUNTS.c.password == account.password
    updated = connection.execute(
        ACCOUNTS.update()
        .where(ACCOUNTS.c.id == account.id, stored)
        .values(login_at=int(now.timestamp()), password=renewed or account.password)
    )
    return bool(updated.rowcount)


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise InputError(f"there is no role {role[:80]!r}", fix=f"use {', '.join(ROLES)}")


def _account_id(connection: Connection, name: str) -> int:
    query = select(ACCOUNTS.c.id).where(ACCOUNTS.c.name == name)
    account: int | None = connection.execute(query).scalar()
    if account is None:
        raise InputError(f"there is no account {name[:80]!r}", fix="certpin watch user list")
    return account


class SessionLimits(Protocol):
    """How long a session lasts: after its last use, and after its start, in seconds."""

    @property
    def idle_seconds(self) -> int:
        """The seconds without use after which a session ends."""

    @property
    def session_seconds(self) -> int:
        """The seconds after its start at which a session ends, even if it is in use."""


class SessionOwner(NamedTuple):
    """The user who is logged in with a session.

    ``account`` is the ID of an account. It is None for a user of an OpenID provider: then
    ``subject`` is the provider's identifier of that user.
    """

    account: int | None
    name: str
    role: str
    subject: str = ""


@dataclass(frozen=True)
class Session:
    """The login of a browser. ``digest`` is the SHA-256 of its cookie."""

    digest: bytes
    owner: SessionOwner
    source: str
    agent: str
    made_at: int
    seen_at: int
    until: int

    @property
    def public_id(self) -> str:
        """The session's ID in pages and forms. Digest and cookie can't be derived from it."""
        return sha256(b"shown" + self.digest).hexdigest()[:16]


def add_session(connection: Connection, session: Session, limits: SessionLimits) -> None:
    """Store a new session; delete expired sessions, and the oldest of a user with too many."""
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
    """Replace the cookie, name and role of a session, and begin its idle time again.

    ``until``, the time at which it ends, stays the same.
    """
    at = int(now.timestamp())
    connection.execute(
        SESSIONS.update()
        .where(SESSIONS.c.id == old.digest)
        .values(id=digest, name=owner.name, role=owner.role, made_at=at, seen_at=at)
    )


def find_session(
    connection: Connection, digest: bytes, limits: SessionLimits, now: datetime
) -> Session | None:
    """Return the session with this cookie, with the current role of its account.

    None if the session has ended, or its account was removed. ``digest`` is the SHA-256 of the
    cookie.
    """
    valid = _is_valid(limits, int(now.timestamp()))
    has_owner = or_(SESSIONS.c.account.is_(None), ACCOUNTS.c.id.is_not(None))
    row = connection.execute(
        _select_sessions().where(SESSIONS.c.id == digest, valid, has_owner)
    ).first()
    return _session(row._mapping) if row else None


def stored_session(connection: Connection, digest: bytes) -> Session | None:
    """Return the session with this cookie (its SHA-256), expired or not; None if there is none."""
    row = connection.execute(_select_sessions().where(SESSIONS.c.id == digest)).first()
    return _session(row._mapping) if row else None


def sessions_of(
    connection: Connection, owner: SessionOwner, limits: SessionLimits, now: datetime
) -> list[Session]:
    """Return the valid sessions of a user, newest first."""
    query = _select_sessions().where(_is_owned_by(owner), _is_valid(limits, int(now.timestamp())))
    rows = connection.execute(query.order_by(SESSIONS.c.made_at.desc(), SESSIONS.c.id))
    return [_session(row._mapping) for row in rows]


def record_session_use(connection: Connection, session: Session, now: datetime) -> None:
    """Store when a session was last used."""
    connection.execute(
        SESSIONS.update()
        .where(SESSIONS.c.id == session.digest)
        .values(seen_at=int(now.timestamp()))
    )


def end_session(connection: Connection, digest: bytes) -> None:
    """Delete the session with this cookie, given as its SHA-256."""
    connection.execute(SESSIONS.delete().where(SESSIONS.c.id == digest))


def end_sessions_of(connection: Connection, owner: SessionOwner) -> None:
    """Delete all sessions of a user."""
    connection.execute(SESSIONS.delete().where(_is_owned_by(owner)))


def _select_sessions() -> Select[Any]:
    # The name, too: SQLite may give the ID of a deleted account to the next one.
    same = (SESSIONS.c.account == ACCOUNTS.c.id) & (SESSIONS.c.name == ACCOUNTS.c.name)
    return select(
        SESSIONS,
        func.coalesce(ACCOUNTS.c.name, SESSIONS.c.name).label("current_name"),
        func.coalesce(ACCOUNTS.c.role, SESSIONS.c.role).label("current_role"),
    ).select_from(SESSIONS.outerjoin(ACCOUNTS, same))


def _is_valid(limits: SessionLimits, at: int) -> ColumnElement[bool]:
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
    """How many logins failed, and the time of the last failure in seconds since 1970."""

    count: int
    last: float


def lock_failures(connection: Connection, key: bytes, at: float) -> FailureCount:
    """Return the failed logins of a source or account; lock their row until the transaction ends.

    Args:
        connection: a transaction.
        key: a digest of a source or of an account's name.
        at: the current time.
    """
    added = insert(connection, GUESSES).values(who=key, count=0, last_at=int(at))
    locked = added.on_conflict_do_update(
        index_elements=["who"], set_={"count": GUESSES.c.count}
    ).returning(GUESSES.c.count, GUESSES.c.last_at)
    return FailureCount(*connection.execute(locked).one())


def set_failures(connection: Connection, key: bytes, failures: FailureCount) -> None:
    """Store the failed logins of a source or account that ``lock_failures`` locked."""
    values = {"count": failures.count, "last_at": int(failures.last)}
    connection.execute(update(GUESSES).where(GUESSES.c.who == key).values(**values))


def clear_failures(connection: Connection, source: bytes, account: bytes) -> None:
    """Record a successful login: delete the source's failures, and one failure of the account."""
    fewer = case((GUESSES.c.count > 0, GUESSES.c.count - 1), else_=0)
    connection.execute(delete(GUESSES).where(GUESSES.c.who == source))
    connection.execute(update(GUESSES).where(GUESSES.c.who == account).values(count=fewer))


def sweep_failures(connection: Connection, at: float, limit: int) -> None:
    """Delete up to ``limit`` expired records of failed logins.

    Records that another transaction has locked are left.
    """
    outdated = select(GUESSES.c.who).where(GUESSES.c.last_at < at - FAILURES_KEPT).limit(limit)
    keys = connection.execute(outdated.with_for_update(skip_locked=True)).scalars().all()
    if keys:
        connection.execute(delete(GUESSES).where(GUESSES.c.who.in_(keys)))
