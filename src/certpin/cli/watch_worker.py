"""``certpin watch worker``: looks at hosts from where it stands, for a watch that is elsewhere."""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import TYPE_CHECKING

import click

from certpin.cli.main import extra_needed
from certpin.cli.options import json_option
from certpin.cli.reply import print_event
from certpin.cli.watching import listen_option

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

    _Work = Callable[[asyncio.Event], Awaitable[None]]

_VARIABLE = "CERTPIN_NATS"


@click.command()
@click.option(
    "--vantage",
    required=True,
    metavar="NAME",
    help="What this place is called in watch.toml: lower-case letters, digits, - and _.",
)
@click.option(
    "--nats",
    "written",
    required=True,
    envvar=_VARIABLE,
    metavar="URL",
    help="The NATS server: tls://USER:PASSWORD@HOST:4222. env:NAME and file:PATH say where the "
    f"address is, so that no password is seen in ps; as does the variable {_VARIABLE}.",
)
@click.option(
    "--window",
    type=click.IntRange(1, 4096),
    default=256,
    show_default=True,
    help="How many hosts are asked at once.",
)
@listen_option
@json_option
def worker(vantage: str, written: str, window: int, listen: str | None, as_json: bool) -> None:
    """Look at hosts from here, until SIGTERM or SIGINT, for a watch that runs elsewhere.

    The watch hands out jobs over NATS JetStream; this worker takes those of its vantage, dials the
    hosts, and sends back what it saw. It needs no pin file and no database. Several workers may
    have one vantage: they share its jobs. A job of a worker that dies goes to another.

    What the worker trusts is this machine's: a job has anchors of its own only where the pin file
    names some. Whoever may write to the NATS server decides which hosts are dialled from here.

    Needs pip install 'certpin[cluster]'.

    Exit code 0: it was told to stop. 2: usage.
    """
    import asyncio
    import logging

    with extra_needed("cluster", "a worker"):
        from certpin.watch.monitor.settings import check_vantage
        from certpin.watch.monitor.worker import work
        from certpin.watch.nats_address import nats_address
        from certpin.watch.secret import resolve
    check_vantage(vantage, "--vantage")
    url = resolve(written, "--nats")
    nats_address(url)  # an error now, not at each try to reach it
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    ask = partial(work, vantage, url, window=window)
    job = _answering(listen, ask) if listen else ask
    asyncio.run(_until_told(vantage, job, as_json=as_json))


def _answering(listen: str, work: Callable[..., Awaitable[None]]) -> _Work:
    """The same work, that answers for its health meanwhile. A web server is loaded for that."""
    from certpin.watch.settings import parse_listen
    from certpin.watch.vitals import answering

    address = parse_listen(listen, "--listen")

    async def both(stop: asyncio.Event) -> None:
        async with answering(address) as condition:
            await work(stop=stop, condition=condition)

    return both


async def _until_told(vantage: str, work: _Work, *, as_json: bool) -> None:
    import asyncio
    import signal

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if as_json:
        print_event("begun", vantage=vantage, process=os.getpid())
    else:
        click.echo(f"certpin: looking from {vantage} (process {os.getpid()})", err=True)
    await work(stop)
