"""Options and functions that the commands of ``certpin watch`` share."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.reply import say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin_watch.context import Watch
    from certpin_watch.settings import ServiceSettings
    from certpin_watch.store import Store
    from certpin_watch.store.accounts import Actor

settings_option = click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The settings of the service; by default watch.toml, if it exists.",
)
store_option = click.option(
    "--store",
    "written",
    metavar="URL",
    help="The database, instead of that of the settings: sqlite:///FILE or postgresql://…. "
    "env:NAME and file:PATH name a variable or a file with the address, so that ps shows no "
    "password.",
)
listen_option = click.option(
    "--listen",
    metavar="HOST:PORT",
    help="Answer /healthz and /readyz there, and on loopback addresses /metrics, too; by default "
    "nowhere.",
)


def settings_options(command: Any) -> Any:
    """Decorate a command: add ``--config`` and ``--store``, and call it with ``settings``.

    ``settings`` are the settings of the service, loaded from the file that the options select.
    """

    @wraps(command)
    def with_settings(*, config: Path | None, written: str | None, **options: Any) -> Any:
        return command(settings=chosen_settings(config, written), **options)

    return settings_option(store_option(with_settings))


def watch_options(command: Any) -> Any:
    """Decorate a command: add ``--config`` and ``--store``, and call it with ``watch``.

    ``watch`` has the settings, an open store, the pin files and the clock.
    """

    @wraps(command)
    def with_watch(*, settings: ServiceSettings, **options: Any) -> Any:
        with opened_watch(settings) as watch:
            return command(watch=watch, **options)

    return settings_options(with_watch)


def store_options(command: Any) -> Any:
    """Decorate a command: add ``--config`` and ``--store``, and call it with an open ``store``."""

    @wraps(command)
    def with_store(*, watch: Watch, **options: Any) -> Any:
        return command(store=watch.store, **options)

    return watch_options(with_store)


def chosen_settings(config: Path | None, written: str | None) -> ServiceSettings:
    """Load the settings that the options ``--config`` and ``--store`` select.

    Args:
        config: the settings file. None for ``watch.toml``, or for the defaults if there is no
            ``watch.toml``.
        written: the value of ``--store``, which replaces the database in the settings; None if the
            option is not given.

    Raises:
        PinFileError: the file can't be read, or a setting is invalid.
        ConfigError: ``written`` names a variable or a file that is missing or empty.
    """
    from certpin_watch.secret import resolve
    from certpin_watch.settings import ServiceSettings, load
    from certpin_watch.settings.file import DEFAULT_FILE, STORE_OPTION

    path = config or DEFAULT_FILE
    exists = config is not None or path.exists()
    settings = load(path, _check_rule) if exists else ServiceSettings()
    if written is None:
        return settings
    return replace(settings, store=resolve(written, STORE_OPTION), folder=None, file=None)


def _check_rule(name: str) -> None:
    """Check that an alert rule exists, because a setting names it.

    The rules are imported in this function, so that they are not loaded for the many settings files
    that name no rule.

    Raises:
        InputError: there is no such rule.
    """
    from certpin_watch.rules.engine import check_rule

    check_rule(name)


def open_watch(settings: ServiceSettings) -> Watch:
    """Return the settings, store, pin files and clock of the service as one ``Watch`` object.

    Neither the database nor the pin files are read yet.

    Raises:
        ConfigError: the address of the database is invalid. The error names the option, or the line
            of the settings.
    """
    from certpin_watch.context import Watch
    from certpin_watch.snapshot import PinFiles
    from certpin_watch.store import open_store

    with _naming_setting(settings):
        store = open_store(settings.store.reveal(), folder=settings.folder)
    return Watch(settings, store, PinFiles(settings.pins))


@contextmanager
def _naming_setting(settings: ServiceSettings) -> Iterator[None]:
    """Add the origin of the database's address to a ``ConfigError`` that the block raises.

    The origin is the option ``--store``, or the line of the settings file that has the address. The
    block must raise only errors about this address, because others would get the same origin.
    """
    from certpin.errors import ConfigError
    from certpin.pinfile.file import locate_errors

    try:
        yield
    except ConfigError as exc:
        if settings.file is None:
            raise ConfigError(exc.problem, key=settings.store.key or exc.key, fix=exc.fix) from exc
        content = settings.file.read_text(encoding="utf-8", errors="replace")
        with locate_errors(content, settings.file):
            raise


@contextmanager
def opened_watch(settings: ServiceSettings) -> Iterator[Watch]:
    """Yield the settings, store, pin files and clock; close the store at the end of the block.

    If the block raises a ``StoreError``, the name of the database is added to it.
    """
    watch = open_watch(settings)
    try:
        with naming_database(watch.store):
            yield watch
    finally:
        watch.store.close()


@contextmanager
def naming_database(store: Store) -> Iterator[None]:
    """Add the name of the database to a ``StoreError`` that the block raises.

    The name is the path of the SQLite file, or host, port, database and user of PostgreSQL. Errors
    of the store don't contain it, because pages show them, too.
    """
    from certpin.errors import StoreError
    from certpin.support.text import printable
    from certpin_watch.store.connections import path_of
    from certpin_watch.store.unreachable import describe_server

    try:
        yield
    except StoreError as exc:
        name = (
            printable(str(path_of(store.engine)))
            if store.is_sqlite
            else describe_server(store.engine.url)
        )
        raise StoreError(f"{name}: {exc.problem}", reason=exc.reason, fix=exc.fix) from exc


def require_database(store: Store) -> None:
    """Check that a database exists, isn't empty, and has the current schema.

    An old schema is refused: a service of an older certpin, which may still run on this database,
    could not use the new one.

    Raises:
        ConfigError: the database is missing or empty.
        StoreError: the database is unreachable, or its schema is not that of this version.
    """
    from certpin_watch.store.schema import require_current

    refuse_empty(store)
    require_current(store)


def refuse_empty(store: Store) -> None:
    """Raise an error if a database is missing or empty. The database is not created.

    A command on an empty database would otherwise report that there are no problems.

    Raises:
        ConfigError: the database is missing or empty.
        StoreError: the database is unreachable.
    """
    from certpin.errors import ConfigError
    from certpin.support.text import printable
    from certpin_watch.store import SchemaState, schema_state
    from certpin_watch.store.connections import path_of

    if schema_state(store).state is SchemaState.EMPTY:
        file = f"{printable(str(path_of(store.engine)))}: " if store.is_sqlite else ""
        raise ConfigError(
            f"{file}the monitoring service has never run on this database: it is empty",
            fix="name its settings with --config FILE, or the database with --store URL",
        )


def create_database(store: Store) -> None:
    """Create the tables of a missing or empty SQLite database.

    If a file is created, its path is printed, so that the user notices if it is in the wrong
    folder.

    Raises:
        StoreError: the database can't be used, or its schema is not that of this version.
    """
    from certpin.support.text import printable
    from certpin_watch.store import SchemaState, prepare, schema_state
    from certpin_watch.store.connections import path_of
    from certpin_watch.store.schema import require_current

    if schema_state(store).state is SchemaState.BEHIND:
        require_current(store)  # raises an error: only migrate and serve migrate
    elif (done := prepare(store)) and done.before is None:
        say("certpin", f"created the database {printable(str(path_of(store.engine).absolute()))}")


def dialect_of(store: Store) -> str:
    """Return the kind of a database, for output: "sqlite" or "postgresql".

    The address of the database is not printed, because it can contain a password.
    """
    return "sqlite" if store.is_sqlite else "postgresql"


def local_actor() -> Actor:
    """Return the user of this machine who runs the command, as the actor in audit log entries."""
    import getpass

    from certpin_watch.store.accounts import Actor

    try:
        return Actor(f"cli:{getpass.getuser()}")
    except (OSError, KeyError):  # in a container, the user may have no name
        return Actor("cli:")


def time_text(seconds: int | None) -> str:
    """Return a Unix time as text in UTC, for users and JSON; empty if it is None."""
    return "" if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
