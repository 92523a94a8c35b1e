"""``certpin watch migrate``: the schema of this version of certpin."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.main import FINDING, HOLDS
from certpin.cli.options import json_option
from certpin.cli.reply import fold, print_json
from certpin_watch.cli.options import dialect_of, store_options

if TYPE_CHECKING:
    from certpin_watch.store import Store


@click.command()
@click.option("--check", is_flag=True, help="Change nothing; exit code 1 if there is work to do.")
@store_options
@json_option
@click.pass_context
def migrate(ctx: click.Context, store: Store, check: bool, as_json: bool) -> None:
    """Bring the database to the schema of this version of certpin, whole or not at all.

    An SQLite file is copied first, beside it, as FILE.revision-NUMBER. There is no way back to
    an older schema: whoever has to go back restores a back-up from before.

    Exit code 0: it has that schema. 1: with --check, it has not. 2: usage, or a database of a newer
    certpin, or of somebody else. 3: the database is away, busy, or its disk full.
    """
    facts = {"store": dialect_of(store), **(_look(store) if check else _migrate(store))}
    if as_json:
        print_json(facts)
    else:
        click.echo(fold(_words(facts), sys.stdout))
    ctx.exit(HOLDS if facts["state"] == "current" else FINDING)


def _look(store: Store) -> dict[str, Any]:
    from certpin_watch.store import schema_state

    found = schema_state(store)
    return {
        "state": str(found.state),
        "before": found.revision,
        "revision": found.revision,
        "copy": None,
    }


def _migrate(store: Store) -> dict[str, Any]:
    from certpin_watch.store import migrate as bring_up

    done = bring_up(store)
    return {
        "state": "current",
        "before": done.before,
        "revision": done.after,
        "copy": str(done.copy) if done.copy else None,
    }


def _words(facts: dict[str, Any]) -> str:
    now = facts["revision"]
    if facts["state"] != "current":
        return f"The database is {facts['state']} (schema {now or 'none'})."
    if facts["before"] == now:
        return f"The database has schema {now}: nothing to do."
    before = f"Migrated from schema {facts['before']}" if facts["before"] else "Made: schema"
    kept = f" As it was before, it is in {facts['copy']}: remove it when all is well."
    return f"{before}{' to' if facts['before'] else ''} {now}.{kept if facts['copy'] else ''}"
