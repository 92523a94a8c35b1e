"""``certpin watch backup``: everything that the watch knows, in one file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from certpin.cli.options import json_option
from certpin.cli.reply import print_json
from certpin.cli.screen import fold
from certpin.cli.watching import kind_of, store_options

if TYPE_CHECKING:
    from certpin.watch.store import Store


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@store_options
@json_option
def backup(store: Store, file: Path, as_json: bool) -> None:
    """Write the watch's data of one moment to FILE, while it goes on.

    FILE is for its owner alone (mode 600), whole, and verified, or it is not written. It has the
    hashes of tokens and passwords, and what clients reported: keep it as you keep the database.

    Exit code 0: it is written. 2: usage, or a file or database that cannot be used. 3: the
    database is away, busy, or its disk full.
    """
    from certpin.watch.store import back_up

    done = back_up(store, file)
    if as_json:
        print_json(
            {
                "file": str(file),
                "store": kind_of(store),
                "revision": done.revision,
                "rows": done.rows,
                "bytes": done.size,
            }
        )
        return
    said = f"{file}: {done.rows:,} rows, {done.size:,} bytes, of schema {done.revision}."
    click.echo(fold(said, sys.stdout))
