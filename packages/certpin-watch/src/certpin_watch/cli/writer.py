"""``certpin watch writer``: count the reports in the NATS stream, in a separate process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from certpin.cli.options import json_option
from certpin.cli.reply import print_event
from certpin_watch.cli.options import create_database, listen_option, watch_options

if TYPE_CHECKING:
    from certpin_watch.context import Watch


@click.command()
@listen_option
@watch_options
@json_option
def writer(watch: Watch, listen: str | None, as_json: bool) -> None:
    """Count the reports that wait in NATS JetStream, until SIGTERM or SIGINT.

    `certpin serve` does this too. If one process is not enough, run writers beside it: they share
    the work, and each report is still counted once. watch.toml must name the NATS server (`nats`)
    and the database (`store`) that all of them use.

    Needs pip install 'certpin[cluster]'.

    \b
    certpin watch writer --config /etc/certpin/watch.toml

    Exit code 0: it was stopped. 2: usage, or a database that is not ready.
    """  # noqa: D301  # click reads the \b itself
    import asyncio

    from certpin.errors import ConfigError
    from certpin_watch.logs import configure
    from certpin_watch.settings import nats_address, nats_authorities, parse_listen

    if watch.settings.nats is None:
        raise ConfigError(
            "the settings name no NATS server", key="nats", fix="name the NATS server in watch.toml"
        )
    # Report a mistake now, instead of at each attempt to connect.
    nats_address(watch.settings.nats)
    nats_authorities(watch.settings.nats_ca)
    create_database(watch.store)
    configure(watch.settings.log)
    address = parse_listen(listen, "--listen") if listen else None
    asyncio.run(_write_until_stopped(watch, address, as_json=as_json))


async def _write_until_stopped(
    watch: Watch, address: tuple[str, int] | None, *, as_json: bool
) -> None:
    import asyncio
    import signal

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):  # before the slow imports below
        loop.add_signal_handler(number, stop.set)

    from certpin_watch import telemetry
    from certpin_watch.collector.writer import run
    from certpin_watch.counters import COUNTERS
    from certpin_watch.health import serve_health

    with telemetry.exporting(watch.settings.telemetry, COUNTERS):
        if as_json:
            print_event("begun", process=os.getpid())
        else:
            click.echo(f"certpin: writing (process {os.getpid()})", err=True)
        async with serve_health(address, watch.store) as health:
            await run(watch, stop, health.needs)
