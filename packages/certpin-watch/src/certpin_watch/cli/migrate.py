"""``certpin watch migrate``: update the database to the schema of this version of certpin."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.main import PROBLEM_FOUND, SUCCESS, USAGE
from certpin.cli.options import json_option
from certpin.cli.reply import fold, print_json
from certpin_watch.cli.options import dialect_of, store_options

if TYPE_CHECKING:
    from certpin_watch.store import Store


_CODES = {"current": SUCCESS, "newer": USAGE, "foreign": USAGE}  # no migration helps these two


@click.command()
@click.option("--check", is_flag=True, help="Change nothing; exit code 1 if a migration is needed.")
@store_options
@json_option
@click.pass_context
def migrate(ctx: click.Context, store: Store, check: bool, as_json: bool) -> None:
    """Update the database to this version's schema, completely or not at all.

    Run it after an update of certpin, before the service starts again.

    An SQLite file is copied first, into the same folder, as FILE.revision-NUMBER. There is no
    downgrade: to return to an older version, restore a back-up from before the migration.

    \b
    certpin watch migrate --check
    certpin watch migrate

    Exit code 0: the database has the schema. 1: with --check, it needs a migration. 2: usage, or
    the database is of a newer certpin or of another program. 3: the database is unavailable or
    busy, or its disk is full.
    """  # noqa: D301  # click reads the \b itself
    facts = {"store": dialect_of(store), **(_schema(store) if check else _migrate(store))}
    if as_json:
        print_json(facts)
    else:
        click.echo(fold(_text(facts), sys.stdout))
    ctx.exit(_CODES.get(facts["state"], PROBLEM_FOUND))


def _schema(store: Store) -> dict[str, Any]:
    from certpin_watch.store import schema_state

    found = schema_state(store)
    return {
        "state": str(found.state),
        "before": found.revision,
        "revision": found.revision,
        "copy": None,
    }


def _migrate(store: Store) -> dict[str, Any]:
    from certpin_watch.store import migrate as run_migration

    done = run_migration(store)
    return {
        "state": "current",
        "before": done.before,
        "revision": done.after,
        "copy": str(done.copy) if done.copy else None,
    }


def _text(facts: dict[str, Any]) -> str:
    now = facts["revision"]
    if facts["state"] != "current":
        return f"The database is {facts['state']} (schema {now or 'none'})."
    if facts["before"] == now:
        return f"The database has schema {now}: nothing to do."
    if not facts["before"]:
        return f"Created schema {now}."
    copy = facts["copy"]
    kept = f" The old file was copied to {copy}: remove it when the new version works."
    return f"Migrated from schema {facts['before']} to {now}.{kept if copy else ''}"
