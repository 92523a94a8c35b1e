"""``certpin watch restore``: a back-up into a database."""

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
@click.option("--force", is_flag=True, help="Replace the data that the database has.")
@store_options
@json_option
def restore(store: Store, file: Path, force: bool, as_json: bool) -> None:
    """Put a back-up into an empty database, of the same kind or of the other.

    All of it, or nothing. Stop the watch first. A back-up of an older certpin is migrated on the
    way. Tokens and people that were removed since it was made are back: look at them afterwards.

    Exit code 0: it is in. 2: usage, a file that is no back-up, or a database that has data. 3: the
    database is away, busy, or its disk full.
    """
    from certpin.watch.store import restore as put_in

    done = put_in(store, file, force=force)
    if as_json:
        print_json(
            {
                "file": str(file),
                "store": kind_of(store),
                "revision": done.revision,
                "rows": done.rows,
                "replaced": done.replaced,
            }
        )
        return
    gone = " What was there before is gone." if done.replaced else ""
    click.echo(fold(f"{done.rows:,} rows are in the database.{gone}", sys.stdout))
