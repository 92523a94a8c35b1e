"""Accounts of users with a password, tokens of programs, and the audit log of their actions.

The tables contain no secret: a password, and the secret part of a token, are stored as Argon2's
encoded hash. Callers compute the hash before they begin a transaction: it takes long, and SQLite
permits only one writer at a time. All times are in seconds since 1970, except for arguments of type
``datetime``.

An entry of the audit log is written in the transaction of the change that it records, so that
neither exists without the other. Entries are only added; retention deletes the old ones.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, NewType

from sqlalchemy import exists, or_, select

from certpin.errors import InputError
from certpin.support.text import printable
from certpin_watch.permissions import ROLES, WORKER, location_of
from certpin_watch.store.engine import insert
from certpin_watch.store.tables.service import ACCOUNTS, AUDIT, SESSIONS, TOKENS

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection
    from sqlalchemy.engine import RowMapping

_MAX_TEXT = 200  # characters of each text in the audit log: a failed login can bring any name
AUDIT_PAGE = 100  # entries of a page of the audit log

# No colon: `openid:anna` and `cli:anna` in the audit log are never a local account.
_ACCOUNT_NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}")

# The text of Argon2, with its parameters, of a password that was accepted.
PasswordHash = NewType("PasswordHash", str)


@dataclass(frozen=True)
class Account:
    """The account of a user who signs in with a password.

    Attributes:
        id: the number of the database row.
        name: the user's name.
        role: a role in ``permissions.ROLES``, which decides which actions are permitted.
        made_at: when the account was created, in seconds since 1970.
        login_at: the last login, in seconds since 1970; None if there was none.
        password: Argon2's encoded hash of the password.
    """

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
    """Create an account with a role.

    Args:
        connection: a transaction.
        name: the name of the user.
        role: a role in ``permissions.ROLES``.
        password: the Argon2 hash of the password.
        now: the current time.

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
    """Return the account with this name; None if there is none."""
    row = connection.execute(select(*_ACCOUNT).where(ACCOUNTS.c.name == name)).first()
    return Account(*row) if row else None


def all_accounts(connection: Connection) -> list[Account]:
    """Return all accounts, ordered by name."""
    rows = connection.execute(select(*_ACCOUNT).order_by(ACCOUNTS.c.name))
    return [Account(*row) for row in rows]


def has_accounts(connection: Connection) -> bool:
    """Return True if at least one account exists.

    Without one, users of this machine may use the service without a login (``AuthState.is_open``).
    """
    return bool(connection.execute(select(exists().select_from(ACCOUNTS))).scalar())


def remove_account(connection: Connection, name: str) -> None:
    """Delete an account, and end its sessions.

    Raises:
        InputError: there is no account with this name.
    """
    account = _account_id(connection, name)
    connection.execute(SESSIONS.delete().where(SESSIONS.c.account == account))
    connection.execute(ACCOUNTS.delete().where(ACCOUNTS.c.id == account))


def set_role(connection: Connection, name: str, role: str) -> None:
    """Change the role of an account, and end its sessions.

    Raises:
        InputError: there is no account with this name, or no such role.
    """
    _check_role(role)
    account = _account_id(connection, name)
    connection.execute(ACCOUNTS.update().where(ACCOUNTS.c.id == account).values(role=role))
    connection.execute(SESSIONS.delete().where(SESSIONS.c.account == account))


def set_password(connection: Connection, name: str, password: PasswordHash, now: datetime) -> None:
    """Change the password of an account, and end its sessions. ``password`` is the Argon2 hash.

    Raises:
        InputError: there is no account with this name.
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
    """Store the time of a login, and replace the hash of the password if ``renewed`` is given.

    Args:
        connection: a transaction.
        account: the account as it was read when the password was checked.
        renewed: a hash of the same password that replaces the stored one; None to keep the stored
            hash.
        now: the time of the login.

    Returns:
        True if the login was stored. False if the account was removed, or got a new password, after
        ``account`` was read: then nothing is stored, and the login must be refused.
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


@dataclass(frozen=True)
class Token:
    """The token with which a program or a worker authenticates.

    Attributes:
        id: the public part of the token.
        name: the name that its creator gave it.
        secret: Argon2's encoded hash of the secret part.
        scopes: the permitted actions. A worker's token has one scope, which names its location.
        made_by: the name of the user who created it.
        made_at: when it was created. This and all other times are in seconds since 1970.
        until: when it expires; None if it doesn't.
        used_at: the last use; None if there was none.
        revoked_at: when it was revoked; None if it is not.
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
        """The location (a machine) of the worker that has this token; empty for other tokens."""
        return location_of(self.scopes)

    def is_valid(self, now: datetime) -> bool:
        """Return True if the token is neither revoked nor expired.

        Requests with a token that isn't valid are refused.
        """
        expired = self.until is not None and self.until <= now.timestamp()
        return self.revoked_at is None and not expired


_TOKEN = tuple(TOKENS.c[name] for name in Token.__dataclass_fields__)


def add_token(connection: Connection, token: Token) -> None:
    """Store a new token of a program or worker, with the hash of its secret.

    The token's ID must be new: a stored one raises SQLAlchemy's ``IntegrityError``.
    """
    row = {name: getattr(token, name) for name in Token.__dataclass_fields__}
    row["scopes"] = " ".join(sorted(token.scopes))
    connection.execute(TOKENS.insert().values(row))


def find_token(connection: Connection, token_id: str) -> Token | None:
    """Return the token with this ID, even if it is revoked or expired; None if there is none."""
    row = connection.execute(select(*_TOKEN).where(TOKENS.c.id == token_id)).first()
    return _token(row._mapping) if row else None


def all_tokens(connection: Connection) -> list[Token]:
    """Return all tokens, including revoked ones, newest first."""
    rows = connection.execute(select(*_TOKEN).order_by(TOKENS.c.made_at.desc(), TOKENS.c.id))
    return [_token(row._mapping) for row in rows]


def has_tokens(connection: Connection) -> bool:
    """Return True if at least one token exists that is not revoked. It can have expired.

    Without accounts and tokens, the service must not listen on addresses that other machines reach.
    """
    query = select(exists().select_from(TOKENS).where(TOKENS.c.revoked_at.is_(None)))
    return bool(connection.execute(query).scalar())


def worker_tokens(connection: Connection, now: datetime, limit: int) -> list[Token]:
    """Return at most ``limit`` tokens of workers that are neither revoked nor expired.

    They are sorted by location and name.
    """
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
    """Revoke a token: from its next use on, it is refused.

    Raises:
        InputError: there is no token with this ID, or it is revoked already.
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
    """Store ``now`` as the time at which a token was last used.

    Nothing changes if no token has this ID.
    """
    connection.execute(
        TOKENS.update().where(TOKENS.c.id == token_id).values(used_at=int(now.timestamp()))
    )


def _token(row: RowMapping) -> Token:
    return Token(**{**row, "scopes": frozenset(row["scopes"].split())})


@dataclass(frozen=True)
class Actor:
    """The user, program or part of the service that did something, for the audit log.

    Attributes:
        name: the name of an account, or a name with a prefix: ``openid:anna@bank.example``,
            ``token:ID``, ``cli:anna``. Empty if unknown.
        source: the client's IP address, shortened to its network. Empty if unknown.
    """

    name: str = ""
    source: str = ""


class AuditEntry(NamedTuple):
    """A row of the audit log: one action.

    Attributes:
        id: the number of the row.
        at: the time, in seconds since 1970.
        who: the name of the actor.
        what: the action, such as "silence.made".
        subject: the object that was changed.
        source: the client's IP address, shortened to its network.
        outcome: "done", or the reason of a failure.
    """

    id: int
    at: int
    who: str
    what: str
    subject: str
    source: str
    outcome: str


def audit(
    connection: Connection,
    actor: Actor,
    what: str,
    subject: str = "",
    *,
    at: datetime,
    outcome: str = "done",
) -> None:
    """Add an entry to the audit log. NOT checked: that no text contains a secret.

    Args:
        connection: the transaction that makes the change.
        actor: the user or program that makes the change.
        what: the action, as a word such as ``silence.made``.
        subject: the object that is changed.
        at: the time.
        outcome: ``done``, or the reason of a failure.
    """
    entry = {"who": actor.name, "what": what, "subject": subject, "source": actor.source}
    texts = {name: _short(text) for name, text in {**entry, "outcome": outcome}.items()}
    connection.execute(AUDIT.insert().values(at=int(at.timestamp()), **texts))


def audit_page(
    connection: Connection, before: int | None = None
) -> tuple[list[AuditEntry], int | None]:
    """Return a page of the audit log, at most ``AUDIT_PAGE`` entries, newest first.

    Args:
        connection: a transaction.
        before: the ID of an entry: the page begins with the next older one. None for the first
            page.

    Returns:
        The entries, and the value of ``before`` with which to request the next page. This value is
        None if there is no further page.
    """
    columns = (AUDIT.c[name] for name in AuditEntry._fields)
    query = select(*columns).order_by(AUDIT.c.id.desc()).limit(AUDIT_PAGE + 1)
    found = connection.execute(query if before is None else query.where(AUDIT.c.id < before))
    rows = [AuditEntry(*row) for row in found]
    entries = rows[:AUDIT_PAGE]
    return entries, entries[-1].id if len(rows) > AUDIT_PAGE else None


def _short(text: str) -> str:
    return printable(text[:_MAX_TEXT])[:_MAX_TEXT]
