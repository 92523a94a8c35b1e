"""``certpin watch``: what is done to the watch beside running it."""

from __future__ import annotations

import click

from certpin.cli.group import LazyGroup

COMMANDS = {
    "user": "Say who signs in with a name and a password.",
    "token": "Make and revoke the tokens of programs: Prometheus, scripts, workers.",
    "alerts": "List the alerts that are open, the worst first, then the oldest.",
    "silence": "Tell nobody of a rule, of a host, or of a rule at a host, for a while.",
    "worker": "Probe hosts from here, until SIGTERM or SIGINT, for a service that runs elsewhere.",
    "writer": "Count the reports that wait in NATS JetStream, until SIGTERM or SIGINT.",
    "ct": "Note a certificate that stands in a log of Certificate Transparency.",
    "migrate": "Bring the database to the schema of this version of certpin, whole or not at all.",
}
_MODULES = {
    "user": "watch_user",
    "token": "watch_token",
    "alerts": "watch_alerts",
    "silence": "watch_silence",
    "worker": "watch_worker",
    "writer": "watch_writer",
    "ct": "watch_ct",
    "migrate": "watch_migrate",
}


@click.group(cls=LazyGroup, lazy=COMMANDS, modules=_MODULES)
def watch() -> None:
    """Tend the watch: who may come in, alerts, workers, the database.

    What `certpin serve` runs is looked after with these:

    \b
    certpin watch user add anna --role admin                 people need it beyond this machine
    certpin watch token add prometheus --scope metrics       programs have tokens
    certpin watch alerts                                     what is wrong now, and since when
    certpin watch silence --host api.bank.example --for 2h --why "renewal"
    certpin watch worker --url URL --token-file FILE         probe from another place, too
    certpin watch migrate                                    after an update of certpin

    The database is that of watch.toml, unless --store names another. It is backed up with its own
    tools, sqlite3 or pg_dump: docs/watch-operations.md has the commands.

    Needs pip install 'certpin[watch]'.
    """  # noqa: D301  # click reads the \b itself
