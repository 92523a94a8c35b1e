"""``certpin watch alerts``: list the open alerts, or test the notification services."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.main import PROBLEM_FOUND, SUCCESS
from certpin.cli.options import json_option
from certpin.cli.reply import fold, print_json
from certpin_watch.cli.options import opened_watch, require_database, settings_options

if TYPE_CHECKING:
    from certpin_watch.context import Watch
    from certpin_watch.settings import ServiceSettings
    from certpin_watch.store.alerts import AlertRow


_STATES = {"recovering": "no longer found: it is held open in case it comes back"}
_JSON_FIELDS = (
    *("id", "rule", "severity", "host", "pin_set", "summary", "command", "details", "clients"),
    *("opened_at", "last_at", "gone_at", "resolved_at", "told_at", "quiet", "flaps", "repeats"),
    *("state", "acknowledged_at", "acknowledged_by"),
)


@click.command()
@click.option("--test", is_flag=True, help="Send a test message to each service, and report it.")
@settings_options
@json_option
@click.pass_context
def alerts(ctx: click.Context, settings: ServiceSettings, test: bool, as_json: bool) -> None:
    """List the open alerts, the worst first, then the oldest.

    Use it in scripts, and to try the settings of your notification services.

    With --test, send a test message to each service of the settings.

    \b
    certpin watch alerts
    certpin watch alerts --test

    Exit code 0: no alert is open, or each service accepted the message. 1: an alert is open, or a
    service did not accept it. 2: wrong usage, no notification service in the settings, or a
    database without certpin's tables. 3: the database is unreachable or busy, or its disk is full.
    """  # noqa: D301  # click reads the \b itself
    if test:
        found = _test_services(settings, as_json=as_json)
    else:
        with opened_watch(settings) as watch:
            found = _list(watch, as_json=as_json)
    ctx.exit(PROBLEM_FOUND if found else SUCCESS)


def _list(watch: Watch, *, as_json: bool) -> bool:
    from certpin_watch.store.alerts import open_alerts

    require_database(watch.store)
    with watch.store.read() as connection:
        found = open_alerts(connection)
    if as_json:
        print_json({"alerts": [_alert_json(alert) for alert in found]})
    elif not found:
        click.echo("No alert is open.")
    else:
        for alert in found:
            _print_alert(alert)
    return bool(found)


def _alert_json(alert: AlertRow) -> dict[str, Any]:
    return {name: getattr(alert, name) for name in _JSON_FIELDS}


def _print_alert(alert: AlertRow) -> None:
    from certpin.support.text import printable
    from certpin_watch.alerts.message import clients_text

    about = alert.host or alert.pin_set
    since = f"{datetime.fromtimestamp(alert.opened_at, UTC):%Y-%m-%d %H:%M} UTC"
    state = f", {_STATES.get(alert.state, alert.state)}" if alert.state != "open" else ""
    head = f"{alert.severity}: {alert.rule}" + (f" at {printable(about)}" if about else "")
    summary = f"{printable(' '.join(alert.summary.split()))}. {clients_text(alert.clients)}"
    click.echo(fold(f"#{alert.id} {head}, since {since}{state}", sys.stdout))
    click.echo(fold(f"    {summary}", sys.stdout))
    if alert.command:
        click.echo(f"    {printable(alert.command)}")


def _test_services(settings: ServiceSettings, *, as_json: bool) -> bool:
    """Send a test message to each notification service, and print the results, as text or JSON.

    Return True if a service did not accept its message.

    Raises:
        ConfigError: the settings have no notification service.
    """
    import asyncio

    from certpin.errors import ConfigError
    from certpin_watch.alerts.run import check_services

    found = asyncio.run(check_services(settings.alerts, settings.public_url))
    if not found:  # a test of nothing must not look like one that passed
        raise ConfigError(
            "no service receives alerts, so that there is none to test",
            key="alerts.tell",
            fix='add [[alerts.tell]] to watch.toml (see the page "Alerts" of the documentation)',
        )
    if as_json:
        services = [{"service": name, "problem": why or None} for name, why in found.items()]
        print_json({"services": services})
    else:
        for name, problem in found.items():
            click.echo(fold(f"{name}: {problem or 'it accepted the message'}", sys.stdout))
    return any(found.values())
