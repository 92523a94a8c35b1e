"""What the commands of ``certpin watch`` share: which settings, and which database."""

from __future__ import annotations

from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from certpin.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.watch.store import Store

CONFIG = Path("watch.toml")
_EXTRA = {
    *("alembic", "apprise", "argon2", "authlib", "brotli", "granian", "httpx", "jinja2", "msgspec"),
    *("prometheus_client", "python_multipart", "sqlalchemy", "starlette"),
}

_OPTIONS = (
    click.option(
        "--config",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="The settings of the watch; by default watch.toml, if it is there.",
    ),
    click.option(
        "--store",
        "written",
        metavar="URL",
        help="The database, instead of that of the settings: sqlite:///FILE or postgresql://…. "
        "env:NAME and file:PATH say where the address is, so that no password is seen in ps.",
    ),
)


@contextmanager
def extra_needed() -> Iterator[None]:
    """Say what to install where a package of the extra is missing. Raises ``ConfigError``."""
    try:
        yield
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] not in _EXTRA:
            raise
        raise ConfigError(
            f"the watch needs the package {exc.name}", fix="pip install 'certpin[watch]'"
        ) from exc


def store_options(command: Any) -> Any:
    """Give a command ``--config`` and ``--store``, and one argument, ``store``: it is open."""

    @wraps(command)
    def with_store(*, config: Path | None, written: str | None, **options: Any) -> Any:
        with extra_needed():
            store = _open(config, written)
            try:
                return command(store=store, **options)
            finally:
                store.close()

    wrapped: Any = with_store
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def kind_of(store: Store) -> str:
    """The word for a database: its address may have a password in it."""
    return "sqlite" if store.is_sqlite else "postgresql"


def _open(config: Path | None, written: str | None) -> Store:
    """The database that was named, or that of the settings, or the default."""
    from certpin.watch.secret import resolve
    from certpin.watch.settings import DEFAULT_STORE, load
    from certpin.watch.store import open_store

    if written is not None:
        return open_store(resolve(written, "--store").reveal())
    path = config or CONFIG
    if config is None and not path.exists():
        return open_store(DEFAULT_STORE)
    return open_store(load(path).store.reveal(), folder=path.parent)
