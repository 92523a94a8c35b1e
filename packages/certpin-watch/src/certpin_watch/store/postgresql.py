"""PostgreSQL: connections, timeouts, and server settings that could lose reports."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, event, text

from certpin.errors import ConfigError
from certpin_watch.addresses import is_local_only

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine
    from sqlalchemy.engine import URL

# Of each session. The timeouts are in milliseconds.
_SETTINGS = {
    "synchronous_commit": "on",  # a report is answered after the commit; `off` could lose it
    "statement_timeout": "30000",
    "lock_timeout": "20000",
    "idle_in_transaction_session_timeout": "60000",  # a suspended process must not block others
    "timezone": "UTC",
    "client_encoding": "UTF8",
}

# Options of libpq, so that a server that disappears is detected. In seconds; tcp_user_timeout is in
# milliseconds.
_CONNECT_ARGS = {
    "connect_timeout": "5",
    "keepalives_idle": "20",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
    "application_name": "certpin watch",
}

# A setting, its risky value, and the consequence (PostgreSQL's documentation, section 19.5).
_RISKY_SETTINGS = (
    ("fsync", "off", "a loss of power may destroy the database, with all that was answered"),
    ("full_page_writes", "off", "a loss of power may destroy pages that cannot be restored"),
    # The service sets it for its sessions; a connection pooler may lose that.
    ("synchronous_commit", "off", "reports that were answered a moment before a crash are lost"),
)


def postgresql_engine(url: URL) -> Engine:
    """Return an SQLAlchemy engine that uses psycopg. Nothing is connected yet.

    Raises:
        ConfigError: the address is invalid or insecure, or the driver isn't installed.
    """
    _check(url)
    try:
        engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            connect_args={k: v for k, v in _CONNECT_ARGS.items() if k not in url.query},
            hide_parameters=True,  # keep the values of statements out of errors
            pool_pre_ping=True,  # detect a restarted server before a statement is sent
            pool_size=5,
            max_overflow=10,
            pool_timeout=10,
            pool_recycle=1800,
        )
    except ModuleNotFoundError as exc:
        raise ConfigError(
            "PostgreSQL needs a driver", key="store", fix="pip install 'certpin[cluster]'"
        ) from exc
    event.listen(engine, "connect", _configure)
    return engine


def risky_settings(connection: Connection) -> tuple[str, ...]:
    """Return a sentence for each setting of the server that could lose stored data.

    SQLite's settings are the service's own (``sqlite``), so there are none. NOT checked: what a
    disk, a virtual machine or a file system does on ``fsync``.
    """
    if connection.dialect.name == "sqlite":
        return ()
    columns = ", ".join(f"current_setting('{name}')" for name, _, _ in _RISKY_SETTINGS)
    values = connection.execute(text(f"SELECT {columns}")).one()  # the names are constants
    return tuple(
        f"PostgreSQL runs with {name} = {risky}: {consequence}"
        for (name, risky, consequence), value in zip(_RISKY_SETTINGS, values, strict=True)
        if value == risky
    )


def _check(url: URL) -> None:
    """Refuse the address of a database if its password is truncated, or if it allows clear text."""
    if "@" in (url.host or ""):
        # The host is not shown, because it is the rest of a password.
        raise ConfigError(
            "there are two @ in the address",
            key="store",
            fix="write @ in a user or a password as %40, and : as %3A",
        )
    if not _is_local(url) and "sslmode" not in url.query:
        # By default, libpq falls back to clear text if an attacker on the network asks for it.
        raise ConfigError(
            "the address does not say whether the connection to the database is encrypted",
            key="store",
            fix="add ?sslmode=verify-full&sslrootcert=FILE; or ?sslmode=disable, "
            "if the network itself is trusted",
        )


def _is_local(url: URL) -> bool:
    """Return True if every connection stays on this machine: loopback, or a socket's folder."""
    hosts = url.query.get("host") or url.host or ""
    lists = [hosts] if isinstance(hosts, str) else list(hosts)
    return all(_is_local_host(host) for hosts in lists for host in hosts.split(","))


def _is_local_host(host: str) -> bool:
    name = host.partition(":")[0] if host.count(":") == 1 else host
    return not name or name.startswith("/") or is_local_only(name)


def _configure(connection: Any, _: object) -> None:
    # With SET instead of options at connect, because connection poolers refuse those.
    connection.autocommit = True
    for name, value in _SETTINGS.items():
        connection.execute(f"SET {name} = '{value}'")
    connection.autocommit = False
    connection.adapters.register_dumper(str, _text_dumper())


@cache
def _text_dumper() -> Any:
    """Return the psycopg class that writes texts. It replaces characters that fail.

    PostgreSQL stores no NUL, and no database stores half of a UTF-16 surrogate pair. A client may
    send these in a form, or a server in its banner. Each of these characters is stored, or searched
    for, as U+FFFD instead of failing the statement. SQLite stores a NUL as it is.
    """
    from psycopg.types.string import StrDumperUnknown

    class Dumper(StrDumperUnknown):
        def dump(self, obj: str) -> Any:
            return super().dump(obj if obj.isprintable() else _storable(obj))

    return Dumper


def _storable(value: str) -> str:
    whole = value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return whole.replace("\0", "\N{REPLACEMENT CHARACTER}")
