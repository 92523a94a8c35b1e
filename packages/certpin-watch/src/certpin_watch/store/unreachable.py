"""Find out why a connection to PostgreSQL failed, and describe it without names and values.

libpq gives no error code for a failed connection, only a text. The text can contain a host, a user
or a path, and pages and logs must not show these. So this module searches the text for constant
English phrases of libpq and of the server. For each phrase it has its own description and a fix.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from certpin.errors import ConfigError
from certpin.support.text import printable

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

_SSLMODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
_SYSTEM = "system"  # instead of a file in sslrootcert: the certificates of the platform

# libpq's and psycopg's messages about the value of an option.
_INVALID_OPTION = re.compile(
    r'invalid integer value ".*" for connection option "(\w+)"|invalid "?(\w+)"? value:'
    r"|bad value for (\w+):"
)
_AWAY, _LOGIN = "the database cannot be reached", "the database refuses the login"
_LOGIN_FIX = "correct the password in the address (store); write @ in it as %40"
_TLS_FIX = "switch TLS on at the server; or ?sslmode=disable, if the network itself is trusted"

# The messages of a server, or of PgBouncer, that has no connection left.
_NO_CONNECTION_LEFT = (
    "sorry, too many clients already|remaining connection slots are reserved"
    '|too many connections for (?:role|database) "|no more connections allowed'
)

# A pattern of the message, the problem, and the fix.
_CAUSES: tuple[tuple[str, str, str], ...] = (
    (
        _NO_CONNECTION_LEFT,
        "the database permits no more connections",
        "raise max_connections, or CONNECTION LIMIT of the user: a process opens up to fifteen",
    ),
    ("password authentication failed", f"{_LOGIN}: wrong user or password", _LOGIN_FIX),
    ("no password supplied", f"{_LOGIN}: the address has no password", _LOGIN_FIX),
    (
        r"no pg_hba\.conf entry",
        f"{_LOGIN}: no line of its pg_hba.conf is for this user, database and address",
        "add the line, and reload PostgreSQL",
    ),
    (
        "authentication failed",
        f"{_LOGIN}: the authentication that pg_hba.conf requires failed",
        "read PostgreSQL's log",
    ),
    (
        r'role ".*" does not exist',
        f"{_LOGIN}: it has no such user",
        "CREATE USER NAME; or correct store",
    ),
    (
        r'database ".*" does not exist',
        "the server has no such database",
        "CREATE DATABASE NAME; or correct store",
    ),
    ("does not support SSL", f"{_AWAY}: the server has no TLS, and sslmode requires it", _TLS_FIX),
    (
        "certificate verify failed",
        f"{_AWAY}: sslrootcert does not verify the server's certificate",
        "name the authority of the server in sslrootcert",
    ),
    (
        "server certificate for",
        f"{_AWAY}: the server's certificate is for another name than that of the address",
        "write the name of the certificate into the address",
    ),
    (
        "Connection refused",
        f"{_AWAY}: nothing listens at its host and port",
        "start it; check host and port in the address (store)",
    ),
    (
        "failed to resolve host",
        f"{_AWAY}: name resolution failed",
        "check the host in the address (store)",
    ),
    (
        "timeout expired",
        f"{_AWAY}: it does not answer in time",
        "check host and port in the address (store), and the firewall",
    ),
    (
        "the database system is",
        f"{_AWAY}: it is starting, or shutting down",
        "wait; read PostgreSQL's log",
    ),
)


def has_no_connection_left(message: str) -> bool:
    """Return True if libpq's message says that PostgreSQL has reached a maximum of connections.

    The server then works, and counts as busy instead of unreachable. The maximum is that of the
    server, of the role or of the database.
    """
    return bool(re.search(_NO_CONNECTION_LEFT, message))


def connection_problem(message: str) -> tuple[str, str] | None:
    """Return the problem and its fix for a message of libpq about a connection that failed.

    Return None if the cause is unknown.
    """
    for pattern, problem, fix in _CAUSES:
        if re.search(pattern, message):
            return problem, fix
    return None


def invalid_option(message: str) -> str:
    """Return the option of the address that libpq refuses, according to its message.

    The result is empty if the message is not about an option.
    """
    found = _INVALID_OPTION.search(message)
    return next(filter(None, found.groups()), "") if found else ""


def check_options(url: URL) -> None:
    """Check the options in the address of a PostgreSQL database, such as ``sslmode``.

    NOT checked: the values of options other than ``sslmode`` and the names of files. libpq checks
    these when it connects.

    Raises:
        ConfigError: libpq has no such option, ``sslmode`` has none of its values, or a file is
            missing. The error names the option.
    """
    from psycopg import ProgrammingError
    from psycopg.conninfo import make_conninfo

    for name, value in url.query.items():
        try:
            make_conninfo("", **{name: "1"})
        except ProgrammingError:
            raise _refused_option(name, "PostgreSQL has no such option") from None
        text = value if isinstance(value, str) else value[-1]
        if name == "sslmode" and text not in _SSLMODES:
            raise _refused_option(name, f"not one of {', '.join(_SSLMODES)}")
        if name in _FILES and text != _SYSTEM and not Path(text).is_file():
            raise _refused_option(name, f"there is no file {printable(text)}")


def _refused_option(name: str, problem: str) -> ConfigError:
    return ConfigError(
        f"the option {printable(name[:80])} of the address: {problem}",
        key="store",
        fix="correct it: postgresql://USER@HOST/NAME?sslmode=verify-full&sslrootcert=FILE",
    )


def describe_server(url: URL) -> str:
    """Return host, port, database and user of an address, for errors on the command line."""
    host = url.host or str(url.query.get("host", "")) or "the local socket"
    port = url.port or url.query.get("port", 5432)
    parts = [f"PostgreSQL at {host} port {port}"]
    if url.database:
        parts.append(f"database {url.database}")
    if url.username:
        parts.append(f"user {url.username}")
    return printable(", ".join(parts))
