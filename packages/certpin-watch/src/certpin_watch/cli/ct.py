"""``certpin watch ct``: what certspotter calls when a certificate is logged."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from certpin.cli.options import json_option
from certpin.cli.reply import print_json, say
from certpin_watch.cli.options import store_options

if TYPE_CHECKING:
    from certpin_watch.store import Store


@click.command()
@store_options
@json_option
def ct(store: Store, as_json: bool) -> None:
    """Record a certificate from a log of Certificate Transparency.

    certspotter watches the logs, and runs the programs in its folder hooks.d for each event. Let
    one of them be this line:

    \b
    exec certpin watch ct --config /etc/certpin/watch.toml

    The event is read from the environment, as certspotter-script(8) describes it. A certificate
    for a watched host whose key nobody pinned, or which another authority issued, is told as an
    alert. It is noted once, whatever number of logs have it.

    Exit code 0: it is noted, or the event is about no certificate. 2: what came is no event of
    certspotter's, or the database cannot be used. 3: the database is away, busy, or its disk full.
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
        with store.write() as connection:
            record_logged(connection, entry, now)
    if as_json:
        print_json({"noted": entry is not None})
    elif entry is None:
        say("certpin", f"nothing to note: {os.environ.get('SUMMARY') or 'no event'}"[:400])
