"""The settings of the watch for a command of ``certpin watch``, with a store of their own."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from certpin.cli.watching import CONFIG, extra_needed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.cli.options import Decorator
    from certpin.watch.watch import Watch

config_option: Decorator = click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The settings of the watch; by default watch.toml, if it is there.",
)


@contextmanager
def opened_watch(config: Path | None) -> Iterator[Watch]:
    """The watch as ``certpin serve`` would have it. Raises ``ConfigError``."""
    with extra_needed():
        from certpin.watch.settings import Settings, load
        from certpin.watch.store import open_store
        from certpin.watch.watch import Watch
        from certpin.watch.watched import Watched

        path = config or CONFIG
        there = config is not None or path.exists()
        settings = load(path) if there else Settings()
        store = open_store(settings.store.reveal(), folder=path.parent)
        try:
            yield Watch(settings, store, Watched(settings.pins))
        finally:
            store.close()
