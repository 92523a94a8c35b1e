"""``certpin watch worker``: probe hosts for a service that runs elsewhere."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.options import json_option
from certpin.cli.reply import print_event
from certpin_watch.cli.options import listen_option

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Iterator

    from certpin_watch.monitor.worker import WorkerEvents

    _Work = Callable[[asyncio.Event], Awaitable[None]]

_URL, _TOKEN = "CERTPIN_WATCH_URL", "CERTPIN_WATCH_TOKEN"
_FORMER = "CERTPIN_NATS"  # led to a NATS server


@click.command()
@click.option(
    "--url",
    envvar=_URL,
    metavar="URL",
    help="The address of the service, such as https://watch.bank.example; default: the variable "
    f"{_URL}.",
)
@click.option(
    "--token-file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help=f"The file with the worker's token; default: the token in the variable {_TOKEN}.",
)
@click.option(
    "--ca-file",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    metavar="FILE",
    help="PEM file of the authorities to verify the service with, instead of this machine's roots.",
)
@click.option(
    "--pins",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    metavar="FILE",
    help="Pin file with the service's host: the service must match its pins.",
)
@click.option(
    "--window",
    type=click.IntRange(1, 4096),
    metavar="N",
    default=256,
    show_default=True,
    help="How many connections are open at once.",
)
@click.option("--vantage", hidden=True)
@click.option("--nats", hidden=True)
@listen_option
@json_option
def worker(
    url: str | None,
    token_file: Path | None,
    ca_file: Path | None,
    pins: Path | None,
    window: int,
    vantage: str | None,
    nats: str | None,
    listen: str | None,
    as_json: bool,
) -> None:
    """Probe hosts for a service that runs elsewhere, until SIGTERM or SIGINT.

    Run it in each network from which your servers have to be monitored.

    \b
    certpin watch token add zurich-1 --worker zurich         where the service runs
    certpin watch worker --url https://watch.bank.example --token-file zurich.token

    The worker gets jobs from the service over HTTPS, connects to the hosts, and posts the results.
    It needs no pin file, no database and no open port. The token contains its location, and permits
    nothing else. Several workers may have the same location: they share its jobs. If a worker dies,
    another gets its jobs within two minutes.

    Chains are verified with the roots of this machine, or with the trust anchors of the job, if the
    pin file of the service names some. The service decides which hosts the worker connects to.

    Exit code 0: stopped by a signal. 2: wrong usage, token, address or certificate.
    """  # noqa: D301  # click reads the \b itself
    import asyncio
    import logging

    from certpin_watch.monitor.uplink import ServiceAccess, ServiceLink, parse_service_url
    from certpin_watch.monitor.worker import work

    _refuse_former(vantage, nats, url)
    if not url:
        raise click.UsageError(f"Missing option '--url' (or the variable {_URL}).")
    if ca_file and pins:
        raise click.UsageError(
            "Give --ca-file or --pins, and not both: trust = FILE in a pin file names authorities."
        )
    access = ServiceAccess(parse_service_url(url), _token_of(token_file), ca_file, pins)
    access.check()  # report errors now, not at each attempt
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s")

    async def run(stop: asyncio.Event, **more: Any) -> None:
        with _events(as_json=as_json) as events:
            async with ServiceLink(access) as link:
                await work(link, stop, window=window, events=events, **more)

    job = _with_health(listen, run) if listen else run
    asyncio.run(_until_signal(access.address.url, job, as_json=as_json))


def _refuse_former(vantage: str | None, nats: str | None, url: str | None) -> None:
    """Raise an error if an option is used with which older workers got their jobs over NATS.

    These options, ``--vantage`` and ``--nats``, were removed. The environment variable of
    ``--nats`` is refused, too, but only if ``url`` is None.

    Args:
        vantage: the value of the removed option ``--vantage``.
        nats: the value of the removed option ``--nats``.
        url: the value of the option ``--url``, with which workers now get their jobs.

    Raises:
        ConfigError: a removed option is used. The error names the new options.
    """
    from certpin.errors import ConfigError

    key = "--nats" if nats else "--vantage" if vantage else ""
    if not key and not url and os.environ.get(_FORMER):
        key = _FORMER
    if key:
        location = vantage or "LOCATION"
        raise ConfigError(
            "workers do not use NATS any more: they ask the service over HTTPS, and their token "
            "names the location",
            key=key,
            fix=f"where the service runs: certpin watch token add NAME --worker {location}; "
            "here: certpin watch worker --url https://… --token-file FILE",
        )


def _token_of(file: Path | None) -> Callable[[], str]:
    """Return a function that reads the worker's token at each call.

    It reads the token from ``file``, or from the environment if ``file`` is None.

    Raises:
        ConfigError: ``file`` is None, and the environment has no token.
    """
    from certpin.errors import ConfigError

    if file is not None:
        return partial(read_token, f"file:{file}", "--token-file")
    if not os.environ.get(_TOKEN):
        raise ConfigError(
            "the worker has no token",
            key="--token-file",
            fix="on the machine of the service: certpin watch token add NAME --worker LOCATION; "
            f"then write it into a file, or into the variable {_TOKEN}",
        )
    return partial(read_token, f"env:{_TOKEN}", _TOKEN)


def read_token(source: str, key: str) -> str:
    """Read a worker's token from a file or a variable, and check its checksum.

    Args:
        source: ``file:PATH`` or ``env:NAME``.
        key: the option or variable that errors name.

    Raises:
        ConfigError: the source can't be read, or has no token. The error doesn't contain its text.
    """
    from certpin.errors import ConfigError
    from certpin_watch.permissions import parse_token
    from certpin_watch.secret import resolve

    text = resolve(source, key).reveal()
    if parse_token(text) is None:
        raise ConfigError(
            "this is not a token of the service, or a part of it is missing",
            key=key,
            fix="on the machine of the service: certpin watch token add NAME --worker LOCATION",
        )
    return text


@contextmanager
def _events(*, as_json: bool) -> Iterator[WorkerEvents]:
    """Yield callbacks that print a worker's events as JSON, or as text.

    If text is printed on a terminal, a counter of probes is displayed, too.
    """
    if as_json or not sys.stderr.isatty():
        yield _printing(lambda _: None, as_json=as_json)
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    counted = TextColumn("probes: {task.completed}")
    columns = (SpinnerColumn(), counted, TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None)
        yield _printing(partial(progress.advance, task), as_json=False)


def _printing(count: Callable[..., object], *, as_json: bool) -> WorkerEvents:
    from certpin_watch.monitor.worker import WorkerEvents

    class Events(WorkerEvents):
        def connected(self, location: str) -> None:
            if as_json:
                print_event("connected", location=location)
            else:
                click.echo(f"certpin: probing from {location}", err=True)

        def probed(self, results: int) -> None:
            if as_json:
                print_event("probed", results=results)
            else:
                count(results)

        def trouble(self, problem: str, fix: str) -> None:
            if as_json:
                print_event("trouble", problem=problem, fix=fix or None)
            else:
                click.echo(f"certpin: {problem}" + (f"\n  fix: {fix}" if fix else ""), err=True)

    return Events()


def _with_health(listen: str, work: Callable[..., Awaitable[None]]) -> _Work:
    """Return a function that runs a worker, and a server for its health checks at the same time.

    Args:
        listen: the address on which the server listens, as HOST:PORT.
        work: the worker's main function.
    """
    from certpin_watch.health import serve_health
    from certpin_watch.monitor.worker import SERVICE
    from certpin_watch.settings import parse_listen

    address = parse_listen(listen, "--listen")

    async def both(stop: asyncio.Event) -> None:
        async with serve_health(address, need=SERVICE) as health:
            await work(stop, needs=health.needs)

    return both


async def _until_signal(url: str, work: _Work, *, as_json: bool) -> None:
    import asyncio
    import signal

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if as_json:
        print_event("begun", url=url, process=os.getpid())
    else:
        click.echo(f"certpin: asking {url} for jobs (process {os.getpid()})", err=True)
    await work(stop)
