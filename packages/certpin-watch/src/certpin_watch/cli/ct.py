"""``certpin watch ct``: record a certificate of a Certificate Transparency log.

The program certspotter runs this command.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from certpin.cli.options import json_option
from certpin.cli.reply import print_json, say
from certpin_watch.cli.options import refuse_empty, store_options

if TYPE_CHECKING:
    from certpin_watch.store import Store


@click.command()
@store_options
@json_option
def ct(store: Store, as_json: bool) -> None:
    """Record a certificate from a log of Certificate Transparency.

    certspotter monitors the logs, and runs the programs in its folder hooks.d for each event. One
    of them has to be this line:

    \b
    exec certpin watch ct --config /etc/certpin/watch.toml

    The event is read from the environment, as certspotter-script(8) describes. An alert fires if
    the certificate is for a monitored host and its key is not pinned, or another authority issued
    it. A certificate is recorded once, however many logs contain it.

    Exit code 0: recorded, or the event is about no certificate. 2: the environment has no valid
    event, or the database can't be used. 3: the database is unreachable, busy, or its disk is full.
    """  # noqa: D301  # click reads the \b itself
    from certpin.errors import ConfigError, InputError
    from certpin.pins import utc_now
    from certpin_watch.monitor.ct import read_event
    from certpin_watch.store.probes import record_logged

    now = utc_now()
    try:
        entry = read_event(os.environ, now)
    except InputError as exc:
        raise ConfigError(exc.problem, fix=exc.fix) from exc
    if entry is not None:
        refuse_empty(store)
        with store.write() as connection:
            record_logged(connection, entry, now)
    if as_json:
        print_json({"noted": entry is not None})
    elif entry is None:
        say(
            "certpin",
            f"nothing to record: {os.environ.get('SUMMARY') or os.environ['EVENT']}"[:400],
        )
