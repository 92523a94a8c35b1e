"""``certpin watch``: what is done to the watch beside running it."""

from __future__ import annotations

import click

from certpin.cli.watch_backup import backup
from certpin.cli.watch_migrate import migrate
from certpin.cli.watch_restore import restore
from certpin.cli.watch_token import token
from certpin.cli.watch_user import user


@click.group()
def watch() -> None:
    """Say who may come in, and keep the watch's database: migrate, back up, restore.

    \b
    certpin watch backup watch-2027-03-01.db                 all of it, while the watch runs
    certpin watch restore watch-2027-03-01.db                into an empty database, of either kind
    certpin watch migrate                                    after an update of certpin
    certpin watch user add anna --role admin                 who signs in
    certpin watch token add prometheus --scope metrics       what programs send

    The database is that of watch.toml, unless --store names another. A back-up is one file for
    SQLite and PostgreSQL alike: restoring it into the other one is how the watch moves.

    Needs pip install 'certpin[watch]'.
    """  # noqa: D301  # click reads the \b itself


for each in (
    backup,
    restore,
    migrate,
    user,
    token,
):
    watch.add_command(each)
