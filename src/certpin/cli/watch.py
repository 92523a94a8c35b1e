"""``certpin watch``: what is done to the watch beside running it."""

from __future__ import annotations

import click

from certpin.cli.watch_alerts import alerts
from certpin.cli.watch_backup import backup
from certpin.cli.watch_ct import ct
from certpin.cli.watch_migrate import migrate
from certpin.cli.watch_restore import restore
from certpin.cli.watch_silence import silence
from certpin.cli.watch_token import token
from certpin.cli.watch_user import user
from certpin.cli.watch_worker import worker
from certpin.cli.watch_writer import writer


@click.group()
def watch() -> None:
    """Tend the watch: who may come in, alerts, workers, the database.

    What `certpin serve` runs is looked after with these:

    \b
    certpin watch user add anna --role admin                 people need it beyond this machine
    certpin watch token add prometheus --scope metrics       programs have tokens
    certpin watch alerts                                     what is wrong now, and since when
    certpin watch silence --host api.bank.example --for 2h --why "renewal"
    certpin watch worker --vantage zurich --nats URL         look from another place, too
    certpin watch backup watch-2027-03-01.db                 all of it, while the watch runs
    certpin watch restore watch-2027-03-01.db                into an empty database, of either kind
    certpin watch migrate                                    after an update of certpin

    The database is that of watch.toml, unless --store names another. A back-up is one file for
    SQLite and PostgreSQL alike: restoring it into the other one is how the watch moves.

    Needs pip install 'certpin[watch]'.
    """  # noqa: D301  # click reads the \b itself


for each in (
    user,
    token,
    alerts,
    silence,
    worker,
    writer,
    ct,
    backup,
    restore,
    migrate,
):
    watch.add_command(each)
