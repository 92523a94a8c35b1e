"""``certpin serve``: monitor servers and clients, and send alerts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.options import json_option
from certpin.cli.reply import print_event, say
from certpin_watch.cli.options import (
    chosen_settings,
    naming_database,
    open_watch,
    settings_option,
    store_option,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin_watch.context import Watch
    from certpin_watch.settings import ServiceSettings


@click.command()
@click.argument(
    "pins", nargs=-1, metavar="[PINS…]", type=click.Path(dir_okay=False, path_type=Path)
)
@click.option(
    "--listen", metavar="HOST:PORT", help="The address of the service; by default 127.0.0.1:8460."
)
@settings_option
@store_option
@json_option
def serve(
    pins: tuple[Path, ...],
    listen: str | None,
    config: Path | None,
    written: str | None,
    as_json: bool,
) -> None:
    """Monitor your servers and the reports of your apps, and send alerts.

    Probes every host of the pin files PINS (by default pins.toml) again and again: do its
    certificates match the pins of every version that clients still hold, how long are they valid,
    did a key change? Apps report to /reports which chains they see. Every problem is shown on the
    pages, and sent as an alert to the services that watch.toml names.

    \b
      certpin add api.bank.example --backup-key backup.key
      certpin serve                       then open http://127.0.0.1:8460/

    All data is in one file, watch.db. If a pin file does not exist yet, the service waits for it.
    It listens on addresses that other machines reach only if people have to sign in (certpin watch
    user add). Ctrl-C stops it.

    Exit code 0: stopped by a signal. 2: wrong usage, invalid settings, an address on which it must
    not listen, or the wrong database. 3: the database is away, busy, or its disk full.
    """  # noqa: D301  # click reads the \b itself
    import asyncio

    from certpin_watch.http_server import ServiceLoop, prefer_throughput
    from certpin_watch.logs import configure

    settings = _chosen(chosen_settings(config, written), pins, listen)
    configure(settings.log)
    prefer_throughput()
    with asyncio.Runner(loop_factory=ServiceLoop) as runner:
        runner.run(_serve(settings, as_json))


def _chosen(
    settings: ServiceSettings, pins: tuple[Path, ...], listen: str | None
) -> ServiceSettings:
    """Return a copy of the settings in which values of the command line replace those of the file.

    Args:
        settings: the settings of the file.
        pins: the pin files of the command line; empty for those of the settings.
        listen: the address to listen on, as ``HOST:PORT``; None for that of the settings.
    """
    from certpin_watch.settings import parse_listen

    options: dict[str, Any] = {}
    if pins:
        options["pins"] = pins
    if listen is not None:
        options["listen"] = parse_listen(listen, "--listen")
    return replace(settings, **options)


async def _serve(settings: ServiceSettings, as_json: bool) -> None:
    import asyncio
    import signal

    from certpin_watch.service import make_ready, serve

    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    watch = open_watch(settings)
    try:
        with naming_database(watch.store):
            make_ready(watch)
        await serve(watch, stop, lambda: _started(watch, as_json))
    finally:
        watch.store.close()


def _started(watch: Watch, as_json: bool) -> None:
    """Print where the service can be reached, its pin files, and problems found at the start.

    If ``as_json`` is True, print a line of JSON with the addresses and the problems instead.
    """
    import gc

    from certpin.probe import join_address
    from certpin.support.text import counted
    from certpin_watch.alerts.run import NO_SERVICES
    from certpin_watch.alerts.silences import unmatched_hosts
    from certpin_watch.application import REPORTS

    # The loaded modules stay until the end: the garbage collector need not visit them again.
    gc.collect()
    gc.freeze()
    settings, snapshot = watch.settings, watch.pin_files.snapshot()
    problems = [*snapshot.problems, *unmatched_hosts(_named_hosts(settings), snapshot)]
    scheme = "https" if settings.tls else "http"
    address = settings.public_url or f"{scheme}://{join_address(*settings.listen)}"
    if as_json:
        problems += [NO_SERVICES] * (not settings.alerts.tell)
        urls = {"url": address + "/", "reports": address + REPORTS}
        print_event("begun", **urls, problems=problems)
        return
    click.echo(f"The pages are at {address}/ and apps report to {address}{REPORTS}.")
    for pin_set in snapshot.sets:
        pins = pin_set.pins
        click.echo(
            f"{pin_set.path}: version {pins.version}, {counted(len(pins.policies), 'host')}."
        )
    for problem in problems:
        say("certpin: warning", problem)
    click.echo("Ctrl-C ends it.")


def _named_hosts(settings: ServiceSettings) -> Iterator[tuple[str, str]]:
    """Yield the hosts to probe, and the host patterns of notification services, in the settings.

    Each item is a pair of the name of the setting, as a warning shows it, and the host or pattern.
    """
    for host in settings.monitor.hosts:
        yield f"monitor.host {host.name}", host.name
    for service in settings.alerts.tell:
        for pattern in service.hosts:
            yield f"alerts.tell {service.name}", pattern
