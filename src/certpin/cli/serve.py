"""``certpin serve``: watch servers and clients, and tell people."""

from __future__ import annotations

import asyncio
import logging
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import click

from certpin.cli.watching import extra_needed, watch_options

if TYPE_CHECKING:
    from certpin.watch.watch import Watch


@click.command()
@click.argument(
    "pins", nargs=-1, metavar="[PINS…]", type=click.Path(dir_okay=False, path_type=Path)
)
@click.option("--listen", metavar="HOST:PORT", help="Where to listen, by default 127.0.0.1:8460.")
@watch_options
@click.option("--json", "as_json", is_flag=True, help="Say the address as JSON.")
def serve(watch: Watch, as_json: bool) -> None:
    """Watch what your servers serve and what your apps meet, and tell you.

    Every host of the pin files PINS (by default pins.toml) is asked again and again for its
    certificates: do they match the pins of every version that some client holds, how long are they
    valid, did a key change? Apps report to /reports what they meet. Whatever is wrong stands on
    the pages, and is told to those whom watch.toml names.

    \b
      certpin add api.bank.example --backup-key backup.key
      certpin serve                       then open http://127.0.0.1:8460/

    It keeps everything in one file, watch.db. A pin file that is not there yet is waited for.
    Beyond this machine it listens only once somebody has an account (certpin watch user add).
    Ctrl-C ends it.
    """  # noqa: D301  # click reads the \b itself
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    with extra_needed():
        from certpin.watch.service import make_ready
        from certpin.watch.service import serve as run

        make_ready(watch)
        asyncio.run(_until_stopped(run, watch, as_json))


async def _until_stopped(run, watch, as_json) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(each, stop.set)
    await run(watch, stop, lambda: _tell(watch, as_json))
