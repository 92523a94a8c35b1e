"""TODO: one docstring."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, event, text

from certpin.errors import ConfigError
from certpin_watch.addresses import is_local_only

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine
    from sqlalchemy.engine import URL


# Of each connection. The time-outs are in milliseconds.
_SETTINGS = {
    "synchronous_commit": "on",  # a report is answered after it; `off` would lose it in a crash
    "statement_timeout": "30000",
    "lock_timeout": "20000",
    "idle_in_transaction_session_timeout": "60000",  # a stopped process holds up nobody for long
    "timezone": "UTC",
    "client_encoding": "UTF8",
}

# A server that is gone without a word is noticed: of libpq, in seconds (the last: milliseconds).
_REACHING = {
    "connect_timeout": "5",
    "keepalives_idle": "20",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
    "application_name": "certpin watch",
}

# The setting, the value that is weak, and what it means (PostgreSQL's documentation, 19.5).
_WEAK = (
    ("fsync", "off", "a loss of power may destroy the database, with all that was answered"),
    ("full_page_writes", "off", "a loss of power may destroy pages that cannot be restored"),
    # The watch sets it for its own sessions; a pooler in between may lose that.
    ("synchronous_commit", "off", "reports that were answered a moment before a crash are lost"),
)


def postgresql_engine(url: URL) -> Engine:
    """An engine on psycopg. Raises ``ConfigError``."""
    _check(url)
    try:
        engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            connect_args={k: v for k, v in _REACHING.items() if k not in url.query},
            hide_parameters=True,  # what is in a statement is not in its error
            pool_pre_ping=True,  # a server that was started anew is noticed before it is asked
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


def _configure(connection: Any, _: object) -> None:
    # By SET, and not as options of the start: poolers in front of PostgreSQL refuse those.
    connection.autocommit = True
    for name, value in _SETTINGS.items():
        connection.execute(f"SET {name} = '{value}'")
    connection.autocommit = False
    connection.adapters.register_dumper(str, _text_dumper())


@cache
def _text_dumper() -> Any:
    """PostgreSQL has no text with a NUL, and no database has half a pair of UTF-16.

    Whoever types one into a form, or into the banner of a server, must stop nothing with it: it is
    kept, or looked for, with the sign for "no character" instead. SQLite keeps a NUL as it is.
    """
    from psycopg.types.string import StrDumperUnknown

    class Dumper(StrDumperUnknown):
        def dump(self, obj: str) -> Any:
            return super().dump(obj if obj.isprintable() else _storable(obj))

    return Dumper


def _storable(value: str) -> str:
    whole = value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return whole.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _check(url: URL) -> None:
    """Look at what would be found out late, or never: a cut password, and a way that is open."""
    if "@" in (url.host or ""):
        # Nothing of it is shown: this is the rest of a password.
        raise ConfigError(
            "there are two @ in the address",
            key="store",
            fix="write @ in a user or a password as %40, and : as %3A",
        )
    if not _is_local(url) and "sslmode" not in url.query:
        # libpq's own default falls back to clear text where somebody on the way asks for it.
        raise ConfigError(
            "the address does not say whether the way to the database is protected",
            key="store",
            fix="add ?sslmode=verify-full&sslrootcert=FILE; or ?sslmode=disable, "
            "where the network itself is trusted",
        )


def _is_local(url: URL) -> bool:
    """Whether the way never leaves this machine: loopback, or a socket's folder."""
    hosts = url.query.get("host") or url.host or ""
    names = [hosts] if isinstance(hosts, str) else list(hosts)
    return all(_is_near(name) for each in names for name in each.split(","))


def _is_near(host: str) -> bool:
    name = host.partition(":")[0] if host.count(":") == 1 else host
    return not name or name.startswith("/") or is_local_only(name)


def weaknesses(connection: Connection) -> tuple[str, ...]:
    """A sentence for each; none where all is as it should be."""
    if connection.dialect.name == "sqlite":
        return ()
    asked = ", ".join(f"current_setting('{name}')" for name, _, _ in _WEAK)
    values = connection.execute(text(f"SELECT {asked}")).one()  # names from above
    return tuple(
        f"PostgreSQL runs with {name} = {weak}: {meaning}"
        for (name, weak, meaning), value in zip(_WEAK, values, strict=True)
        if value == weak
    )
