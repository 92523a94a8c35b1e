"""``certpin watch alerts``: what is wrong now, and whether the services can be told."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from certpin.cli.main import FINDING, HOLDS
from certpin.cli.options import json_option
from certpin.cli.reply import fold, print_json
from certpin_watch.cli.options import opened_watch, require_database, settings_options

if TYPE_CHECKING:
    from certpin_watch.alerts.state import Alert
    from certpin_watch.settings import ServiceSettings
    from certpin_watch.snapshot import Watch


_STATES = {"recovering": "no longer found: it is held open in case it comes back"}


@click.command()
@click.option("--test", is_flag=True, help="Send each service a message, and say what came of it.")
@settings_options
@json_option
@click.pass_context
def alerts(ctx: click.Context, settings: ServiceSettings, test: bool, as_json: bool) -> None:
    """List the alerts that are open, the worst first, then the oldest.

    With --test, send a test message to each service of the settings.

    Exit code 0: none is open, or each service took the message. 1: one is, or one did not. 2:
    usage, no service to test, or a database that no service has run on. 3: the database is away,
    busy, or its disk full.
    """
    if test:
        found = _try(settings, as_json=as_json)
    else:
        with opened_watch(settings) as watch:
            found = _list(watch, as_json=as_json)
    ctx.exit(FINDING if found else HOLDS)


def _list(watch: Watch, *, as_json: bool) -> bool:
    from certpin_watch.alerts.listing import alert_facts, open_alerts

    require_database(watch.store)
    with watch.store.read() as connection:
        found = open_alerts(connection)
    if as_json:
        print_json({"alerts": [alert_facts(each) for each in found]})
    elif not found:
        click.echo("No alert is open.")
    else:
        for each in found:
            _tell(each)
    return bool(found)


def _tell(alert: Alert) -> None:
    from certpin.x509 import printable
    from certpin_watch.alerts.message import clients_words

    about = alert.host or alert.pin_set
    since = f"{datetime.fromtimestamp(alert.opened_at, UTC):%Y-%m-%d %H:%M} UTC"
    state = f", {_STATES.get(alert.state, alert.state)}" if alert.state != "open" else ""
    head = f"{alert.severity}: {alert.rule}" + (f" at {printable(about)}" if about else "")
    click.echo(fold(f"#{alert.id} {head}, since {since}{state}", sys.stdout))
    click.echo(
        fold(
            f"    {printable(' '.join(alert.summary.split()))}. {clients_words(alert.clients)}",
            sys.stdout,
        )
    )
    if alert.command:
        click.echo(f"    {printable(alert.command)}")


def _try(settings: ServiceSettings, *, as_json: bool) -> bool:
    import asyncio

    from certpin.errors import ConfigError
    from certpin_watch.alerts.run import try_services

    found = asyncio.run(try_services(settings))
    if not found:  # a test that tries nothing must not look like one that passed
        raise ConfigError(
            "no service receives alerts, so that there is none to test",
            key="alerts.tell",
            fix="add [[alerts.tell]] to watch.toml (docs/alerts.md)",
        )
    if as_json:
        services = [{"service": name, "problem": why or None} for name, why in found.items()]
        print_json({"services": services})
    else:
        for name, problem in found.items():
            click.echo(fold(f"{name}: {problem or 'it took the message'}", sys.stdout))
    return any(found.values())
