"""Accounts: people who sign in with a name and a password."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NewType

from sqlalchemy import exists, select

from certpin.errors import InputError
from certpin_watch.auth import passwords
from certpin_watch.auth.roles import ROLES
from certpin_watch.store import insert
from certpin_watch.store.tables.service import ACCOUNTS, SESSIONS

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

# No colon: `openid:anna` and `cli:anna` in the audit log are never a local account.
_NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}")


# Argon2's text of a password that was accepted. It is computed before a transaction begins: for as
# long as it takes, SQLite would let nobody else write.
Hashed = NewType("Hashed", str)


@dataclass(frozen=True)
class Account:
    """A person. Moments are seconds since 1970; the password is not in it."""

    number: int
    name: str
    role: str
    made_at: int
    login_at: int | None


_COLUMNS = (ACCOUNTS.c.id, ACCOUNTS.c.name, ACCOUNTS.c.role, ACCOUNTS.c.made_at)
_ACCOUNT = (*_COLUMNS, ACCOUNTS.c.login_at)


def hash_new(password: str, name: str, service: str = "") -> Hashed:
    """Return a new password as it is kept. Slow. Raises ``InputError``, as ``accept`` does."""
    return Hashed(passwords.PASSWORDS.hash(passwords.accept(password, name, service)))


def add(connection: Connection, name: str, role: str, password: Hashed, now: datetime) -> None:
    """Make an account. Raises ``InputError``: the name is taken, or something is not right."""
    _refuse(role)
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name[:80]!r} is no name of an account",
            fix="take small letters, digits and . _ @ + -, 64 at most",
        )
    at = int(now.timestamp())
    row = {"name": name, "role": role, "password": password, "made_at": at, "password_at": at}
    made = connection.execute(
        insert(connection, ACCOUNTS).values(row).on_conflict_do_nothing(index_elements=["name"])
    )
    if not made.rowcount:
        raise InputError(f"there is an account {name!r} already", fix="take another name")


def everyone(connection: Connection) -> list[Account]:
    """All accounts, by name."""
    rows = connection.execute(select(*_ACCOUNT).order_by(ACCOUNTS.c.name))
    return [Account(*row) for row in rows]


def any_exists(connection: Connection) -> bool:
    """Whether anybody has one."""
    return bool(connection.execute(select(exists().select_from(ACCOUNTS))).scalar())


def remove(connection: Connection, name: str) -> None:
    """Take an account away, and sign it out everywhere. Raises ``InputError``."""
    number = _number(connection, name)
    connection.execute(SESSIONS.delete().where(SESSIONS.c.account == number))
    connection.execute(ACCOUNTS.delete().where(ACCOUNTS.c.id == number))


def set_role(connection: Connection, name: str, role: str) -> None:
    """Change what an account may do, and sign it out everywhere. Raises ``InputError``."""
    _refuse(role)
    number = _number(connection, name)
    connection.execute(ACCOUNTS.update().where(ACCOUNTS.c.id == number).values(role=role))
    connection.execute(SESSIONS.delete().where(SESSIONS.c.account == number))


def set_password(connection: Connection, name: str, password: Hashed, now: datetime) -> None:
    """Change a password, and sign the account out everywhere. Raises ``InputError``."""
    number = _number(connection, name)
    connection.execute(
        ACCOUNTS.update()
        .where(ACCOUNTS.c.id == number)
        .values(password=password, password_at=int(now.timestamp()))
    )
    connection.execute(SESSIONS.delete().where(SESSIONS.c.account == number))


def kept_password(connection: Connection, name: str) -> tuple[Account, str] | None:
    """The account of that name with Argon2's text, for ``check``; ``None`` if there is none."""
    query = select(*_ACCOUNT, ACCOUNTS.c.password).where(ACCOUNTS.c.name == name)
    row = connection.execute(query).first()
    return (Account(*row[:-1]), row[-1]) if row else None


def check(found: tuple[Account, str] | None, password: str) -> bool:
    """Whether it is the password. For nobody it takes as long as for somebody. Slow; no I/O."""
    # A longer one was never accepted, and would make strangers' work expensive for the watch.
    text = passwords.normal(password[: passwords.LONGEST + 1])
    if found is None:
        passwords.PASSWORDS.matches_nobody(text)
        return False
    return passwords.PASSWORDS.matches(found[1], text)


def renewed(found: tuple[Account, str], password: str) -> Hashed | None:
    """A password that was just right, with the parameters of today; ``None`` if it has them."""
    if not passwords.PASSWORDS.is_old(found[1]):
        return None
    return Hashed(passwords.PASSWORDS.hash(passwords.normal(password)))


def note_login(
    connection: Connection, found: tuple[Account, str], renewed: Hashed | None, now: datetime
) -> bool:
    """Remember that somebody signed in; false if the account was changed meanwhile."""
    account, kept = found
    done = connection.execute(
        ACCOUNTS.update()
        .where(ACCOUNTS.c.id == account.number, ACCOUNTS.c.password == kept)
        .values(login_at=int(now.timestamp()), password=renewed or kept)
    )
    return bool(done.rowcount)


def _refuse(role: str) -> None:
    if role not in ROLES:
        raise InputError(f"there is no role {role[:80]!r}", fix=f"take {', '.join(ROLES)}")


def _number(connection: Connection, name: str) -> int:
    query = select(ACCOUNTS.c.id).where(ACCOUNTS.c.name == name)
    number: int | None = connection.execute(query).scalar()
    if number is None:
        raise InputError(f"there is no account {name[:80]!r}", fix="certpin watch user list")
    return number
