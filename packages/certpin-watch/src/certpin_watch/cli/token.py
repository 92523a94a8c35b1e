"""``certpin watch token``: create, list and revoke the tokens of programs and workers."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import click

from certpin.cli.main import Group
from certpin.cli.options import json_option
from certpin.cli.reply import print_done, print_json, say
from certpin_watch.cli.options import (
    create_database,
    local_actor,
    require_database,
    store_options,
    time_text,
    watch_options,
)

if TYPE_CHECKING:
    from certpin_watch.context import Watch
    from certpin_watch.store import Store
    from certpin_watch.store.accounts import Token

# A copy of `permissions.SCOPES`, which help does not import (decision 43). A test compares them.
_SCOPES = ("read", "metrics", "silence", "admin")


@click.group(cls=Group)
def token() -> None:
    """Create and revoke tokens for programs: Prometheus, scripts, workers.

    \b
    certpin watch token add prometheus --scope metrics
    certpin watch token add zurich-1 --worker zurich
    certpin watch token revoke ID

    A program sends its token in the header Authorization: Bearer certpin_…
    """  # noqa: D301  # click reads the \b itself


@token.command("add")
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(_SCOPES),
    multiple=True,
    help="A permission of the token; can be given several times. No scope includes another.",
)
@click.option(
    "--worker",
    metavar="LOCATION",
    help="Create the token of a worker: it takes the jobs of this location and posts their "
    "results, and can do nothing else.",
)
@click.option(
    "--days",
    type=click.IntRange(1, 3650),
    metavar="DAYS",
    help="In how many days it expires; without it, never.",
)
@watch_options
@json_option
def add(
    watch: Watch,
    name: str,
    scopes: tuple[str, ...],
    worker: str | None,
    days: int | None,
    as_json: bool,
) -> None:
    """Create a token, and print it once.

    The secret is printed only now: the database has its hash.

    Give --scope for a program that reads or silences, or --worker for `certpin watch worker`.

    \b
    certpin watch token add prometheus --scope metrics
    certpin watch token add zurich-1 --worker zurich --days 365

    Exit code 0: done. 2: usage, or a database that can't be used. 3: the database is away, busy,
    or its disk full.
    """  # noqa: D301  # click reads the \b itself
    if bool(scopes) == bool(worker):
        raise click.UsageError("Give --scope SCOPE, or --worker LOCATION, and not both.")
    from certpin.pins import utc_now
    from certpin_watch.auth.credentials import make_token
    from certpin_watch.permissions import worker_scope
    from certpin_watch.store.accounts import audit

    if worker:
        scopes = (worker_scope(worker),)
        _warn_of_unknown_location(worker, watch)
    create_database(watch.store)
    now, actor = utc_now(), local_actor()
    until = now + timedelta(days=days) if days else None
    with watch.store.write() as connection:
        token_id, text = make_token(connection, name, scopes, by=actor.name, now=now, until=until)
        subject = f"{token_id} {name}: {' '.join(sorted(scopes))}"
        audit(connection, actor, "token.made", subject, at=now)
    if as_json:
        print_json({"id": token_id, "token": text, "scopes": sorted(scopes)})
    else:
        click.echo(text)
        click.echo("The token is not stored, and can't be shown again.", err=True)


def _warn_of_unknown_location(location: str, watch: Watch) -> None:
    """Warn if the settings of the monitor don't name the location: its worker would get no jobs."""
    from certpin_watch.monitor.scheduler import all_locations

    monitor = watch.settings.monitor
    if location in all_locations(monitor):
        return
    names = ", ".join(f'"{name}"' for name in (*monitor.locations, location))
    say(
        "certpin: warning",
        f"the settings name no location {location}, so that its worker gets no jobs\n"
        f"  fix: write vantages = [{names}] in [monitor] of the settings, and restart the service",
    )


@token.command("list")
@store_options
@json_option
def list_tokens(store: Store, as_json: bool) -> None:
    """List all tokens, revoked ones included. Their secrets are not stored.

    Use it to find tokens that are not used any more, and the ID of one that you want to revoke.

    \b
    certpin watch token list

    Exit code 0: done. 2: usage, or a database that can't be used. 3: the database is away, busy,
    or its disk full.
    """  # noqa: D301  # click reads the \b itself
    from certpin_watch.store.accounts import all_tokens

    require_database(store)
    with store.read() as connection:
        tokens = all_tokens(connection)
    if as_json:
        print_json({"tokens": [_token_json(found) for found in tokens]})
        return
    for found in tokens:
        scopes = " ".join(sorted(found.scopes))
        click.echo(f"{found.id}  {found.name:24}  {scopes:20}  {_state_text(found)}")
    if not tokens:
        click.echo("There are no tokens.")


@token.command("revoke")
@click.argument("token_id", metavar="ID")
@store_options
@json_option
def revoke(store: Store, token_id: str, as_json: bool) -> None:
    """Revoke a token at once.

    Use it if a token was leaked or is not needed. certpin watch token list prints the IDs.

    \b
    certpin watch token revoke 7f3a91c2

    Exit code 0: done. 2: usage, or a database that can't be used. 3: the database is away, busy,
    or its disk full.
    """  # noqa: D301  # click reads the \b itself
    from certpin.pins import utc_now
    from certpin_watch.store.accounts import audit, revoke_token

    require_database(store)
    now = utc_now()
    with store.write() as connection:
        revoke_token(connection, token_id, now)
        audit(connection, local_actor(), "token.revoked", token_id, at=now)
    print_done({"id": token_id}, f"The token {token_id} is revoked.", as_json=as_json)


def _state_text(token: Token) -> str:
    if token.revoked_at is not None:
        return f"revoked {time_text(token.revoked_at)}"
    used = f"last used {time_text(token.used_at)}" if token.used_at is not None else "never used"
    return f"{used}, expires {time_text(token.until)}" if token.until is not None else used


def _token_json(token: Token) -> dict[str, object]:
    return {
        "id": token.id,
        "name": token.name,
        "scopes": sorted(token.scopes),
        "location": token.location or None,
        "made": time_text(token.made_at),
        "made_by": token.made_by,
        "until": time_text(token.until) or None,
        "used": time_text(token.used_at) or None,
        "revoked": time_text(token.revoked_at) or None,
    }
