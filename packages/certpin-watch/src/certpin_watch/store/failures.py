"""What a database says when it will not: one typed error, and never the words of the driver.

A driver's message may have a name, a host or a value in it, and the watch's pages and logs shall
have none of them: each kind of failure has a sentence here.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from certpin.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

# Reason, what it means, and what to do. docs/watch-operations.md has a line for each.
REASONS: dict[str, tuple[str, str]] = {
    "away": (
        "the database cannot be reached, or lets nobody in under this address",
        "start it; check the address in store, the user and the password; look at its log",
    ),
    "busy": (
        "the database had no time",
        "try again; if it goes on, look for what holds it: a long transaction, too many clients",
    ),
    "damaged": (
        "the file is not a database, or is damaged",
        "name another file, or restore a back-up: docs/watch-operations.md says how",
    ),
    "disk": ("the disk of the database fails", "look at the system's log"),
    "failed": ("the database refused what it was asked", "this is a mistake in certpin: report it"),
    "full": ("the disk of the database is full", "make room: docs/watch-operations.md says how"),
    "refused": (
        "the database gives the user no right to it",
        "check the rights of the user in the address in store",
    ),
    "schema": (
        "the database has not the tables of this version of certpin",
        "certpin watch migrate",
    ),
    "unwritable": (
        "the database cannot be written to",
        "check path and rights; the folder of the file must be writable, too",
    ),
}

# PostgreSQL's codes: whole, or the class that they begin with (its documentation, appendix A).
_SQLSTATES = {
    "08": "away",
    "25006": "unwritable",  # a standby
    "25P03": "busy",  # nothing came of a transaction for too long: this process was stopped
    "28": "refused",
    "3D": "refused",
    "40": "busy",  # a deadlock, or a transaction that another one overtook
    "42501": "refused",
    "42703": "schema",
    "42P01": "schema",
    "53": "busy",  # too many clients, no memory
    "53100": "full",
    "55P03": "busy",
    "57014": "busy",  # the statement took too long
    "57": "away",
    "58": "disk",
    "XX001": "damaged",
    "XX002": "damaged",
}

# SQLite's (https://www.sqlite.org/rescode.html), likewise.
_SQLITE = {
    "SQLITE_AUTH": "unwritable",
    "SQLITE_BUSY": "busy",
    "SQLITE_CANTOPEN": "unwritable",
    "SQLITE_CORRUPT": "damaged",
    "SQLITE_FULL": "full",
    "SQLITE_IOERR": "disk",
    "SQLITE_LOCKED": "busy",
    "SQLITE_NOTADB": "damaged",
    "SQLITE_PERM": "unwritable",
    "SQLITE_READONLY": "unwritable",
}

_WITHOUT_CODE = frozenset({"ConnectionTimeout", "OperationalError"})


def store_error(reason: str, problem: str = "") -> StoreError:
    """The error for a reason; ``problem`` says more than the sentence that it has."""
    sentence, fix = REASONS[reason]
    return StoreError(problem or sentence, reason=reason, fix=fix)


@contextmanager
def told() -> Iterator[None]:
    """Raise ``StoreError`` where the database does not do what it is asked.

    Two errors stay what they are: ``IntegrityError`` and ``DataError`` are about values, which
    whoever writes them knows. The values themselves are taken out of every error.
    """
    try:
        yield
    except (IntegrityError, DataError) as exc:
        _hush(exc)
        raise
    except DBAPIError as exc:
        _hush(exc)
        raise store_error(reason_of(exc.orig)) from exc
    except PoolTimeoutError as exc:
        raise store_error("busy") from exc


def reason_of(exc: Any) -> str:
    """The word for what a driver raised: of ``sqlite3`` or of psycopg."""
    if (name := getattr(exc, "sqlite_errorname", None)) is not None:
        if name == "SQLITE_ERROR" and str(exc).startswith(("no such table", "no such column")):
            return "schema"
        return next((_SQLITE[key] for key in _SQLITE if name.startswith(key)), "failed")
    state = getattr(exc, "sqlstate", None)
    if state is None:
        # libpq has no code for a server that cannot be reached, lets nobody in, or went away.
        return "away" if type(exc).__name__ in _WITHOUT_CODE else "failed"
    return _SQLSTATES.get(state) or _SQLSTATES.get(state[:2]) or "failed"


def _hush(exc: DBAPIError) -> None:
    """Take the values out: PostgreSQL shows the whole row below the line that says what is wrong.

    A ``DataError`` has its value in the first line. Parameters are hidden by the engine already.
    """
    for each in (exc, exc.orig):
        if isinstance(each, BaseException) and each.args:
            line = str(each.args[0]).partition("\n")[0]
            each.args = ("a value does not fit" if isinstance(exc, DataError) else line,)
