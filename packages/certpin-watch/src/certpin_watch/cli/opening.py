"""What the commands of ``certpin watch`` share: which settings, and which database."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin_watch.settings import ServiceSettings
    from certpin_watch.snapshot import Watch
    from certpin_watch.store import Store

CONFIG = Path("watch.toml")

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
    "env:NAME and file:PATH say where the address is, so that no password is seen in ps.",
)

listen_option = click.option(
    "--listen",
    metavar="HOST:PORT",
    help="Answer /healthz and /readyz there, and on this machine's own addresses /metrics, too; "
    "by default nowhere.",
)


def settings_of(config: Path | None, written: str | None) -> ServiceSettings:
    """The settings that were named, or watch.toml, or the defaults; with the database that was."""
    from certpin_watch.secret import resolve
    from certpin_watch.settings import ServiceSettings, load

    path = config or CONFIG
    settings = ServiceSettings() if config is None and not path.exists() else load(path)
    if written is None:
        return settings
    return replace(settings, store=resolve(written, "--store"), folder=None)


def open_watch(settings: ServiceSettings) -> Watch:
    """What every part of the watch works with. Nothing is read or written yet."""
    from certpin_watch.snapshot import Watch, Watched
    from certpin_watch.store import open_store

    store = open_store(settings.store.reveal(), folder=settings.folder)
    return Watch(settings, store, Watched(settings.pins))


def settings_options(command: Any) -> Any:
    """Give a command ``--config`` and ``--store``, and one argument, ``settings``."""

    @wraps(command)
    def with_settings(*, config: Path | None, written: str | None, **options: Any) -> Any:
        return command(settings=settings_of(config, written), **options)

    return settings_option(store_option(with_settings))


@contextmanager
def opened(settings: ServiceSettings) -> Iterator[Watch]:
    """What ``open_watch`` opens, for as long as the block runs."""
    watch = open_watch(settings)
    try:
        with naming(watch.store):
            yield watch
    finally:
        watch.store.close()


@contextmanager
def naming(store: Store) -> Iterator[None]:
    """Name the file of an SQLite database in its errors.

    The store's own errors name none: they appear on pages, too. Raises ``StoreError``.
    """
    from certpin.errors import StoreError
    from certpin.x509 import printable

    try:
        yield
    except StoreError as exc:
        if not store.is_sqlite:
            raise
        file = printable(str(store.engine.url.database))
        raise StoreError(f"{file}: {exc.problem}", reason=exc.reason, fix=exc.fix) from exc


def watch_options(command: Any) -> Any:
    """The same two options, and one argument, ``watch``: it is open."""

    @wraps(command)
    def with_watch(*, settings: ServiceSettings, **options: Any) -> Any:
        with opened(settings) as watch:
            return command(watch=watch, **options)

    return settings_options(with_watch)


def store_options(command: Any) -> Any:
    """The same, for a command that needs the ``store`` alone."""

    @wraps(command)
    def with_store(*, watch: Watch, **options: Any) -> Any:
        return command(store=watch.store, **options)

    return watch_options(with_store)


def ready(store: Store) -> None:
    """See that a watch has run on it, for whoever asks what it knows.

    An empty database would answer that all is well. Raises ``ConfigError``, or ``StoreError``.
    """
    from certpin.errors import ConfigError
    from certpin_watch.store import SchemaState, prepare, schema_state

    if schema_state(store).state is SchemaState.EMPTY:
        raise ConfigError(
            "no watch has run on this database: it is empty",
            fix="name its settings with --config FILE, or the database with --store URL",
        )
    prepare(store)


def kind_of(store: Store) -> str:
    """The word for a database: its address may have a password in it."""
    return "sqlite" if store.is_sqlite else "postgresql"
