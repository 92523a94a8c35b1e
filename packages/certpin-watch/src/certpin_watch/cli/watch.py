"""``certpin watch``: the commands that administer the monitoring service."""

from __future__ import annotations

import click

from certpin.cli.main import LazyGroup

COMMANDS = {
    "user": "Manage the accounts of users who sign in with a password.",
    "token": "Create and revoke tokens for programs: Prometheus, scripts, workers.",
    "alerts": "List the open alerts, the worst first, then the oldest.",
    "silence": "Silence a rule, a host, or a rule at a host, for a while.",
    "worker": "Probe hosts for a service that runs elsewhere, until SIGTERM or SIGINT.",
    "writer": "Count the reports that wait in NATS JetStream, until SIGTERM or SIGINT.",
    "ct": "Record a certificate from a log of Certificate Transparency.",
    "migrate": "Update the database to this version's schema, completely or not at all.",
}


@click.group(cls=LazyGroup, lazy=COMMANDS, package="certpin_watch.cli")
def watch() -> None:
    """Administer the monitoring service: accounts, alerts, workers, database.

    These commands work on the database of `certpin serve`, while it runs or not:

    \b
    certpin watch user add anna --role admin                 make an account
    certpin watch token add prometheus --scope metrics       a token for a program
    certpin watch alerts                                     list open alerts
    certpin watch silence --host api.bank.example --for 2h --why "renewal"
    certpin watch worker --url URL --token-file FILE         probe from another location
    certpin watch migrate                                    after an update of certpin

    watch.toml names the database, unless --store does. Back it up with its own tools, sqlite3 or
    pg_dump: the page "Operating the monitoring service" of the documentation has the commands.
    """  # noqa: D301  # click reads the \b itself
