"""``certpin watch token``: credentials of programs."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import click

from certpin.cli.group import Group
from certpin.cli.options import json_option
from certpin.cli.reply import print_done, print_json
from certpin_watch.cli.options import store_options

if TYPE_CHECKING:
    from certpin_watch.auth.tokens import Token
    from certpin_watch.store import Store

_SCOPES = ("read", "metrics", "silence", "admin")


@click.group(cls=Group)
def token() -> None:
    """Make and revoke tokens for programs: Prometheus, scripts, workers.

    \b
    certpin watch token add prometheus --scope metrics
    certpin watch token add zurich-1 --worker zurich
    certpin watch token revoke ID

    A token goes into the header Authorization: Bearer certpin_…
    """  # noqa: D301  # click reads the \b itself


@token.command("add")
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(_SCOPES),
    multiple=True,
    help="What it may do; can be given several times. None of them includes another.",
)
@click.option(
    "--worker",
    metavar="LOCATION",
    help="Make the token of a worker: it takes the jobs of this location and posts their results, "
    "and can do nothing else.",
)
@click.option(
    "--days", type=click.IntRange(1, 3650), help="How long it lasts; without it, until revoked."
)
@store_options
@json_option
def add(
    store: Store,
    name: str,
    scopes: tuple[str, ...],
    worker: str | None,
    days: int | None,
    as_json: bool,
) -> None:
    """Make a token, and print it this once.

    Give --scope for a program that reads or silences, or --worker for `certpin watch worker`.
    """
    if bool(scopes) == bool(worker):
        raise click.UsageError("Give --scope SCOPE, or --worker LOCATION, and not both.")
    from certpin.pins import utc_now
    from certpin_watch.auth import tokens
    from certpin_watch.auth.audit import audit
    from certpin_watch.auth.roles import worker_scope
    from certpin_watch.cli.user import by_hand
    from certpin_watch.store import prepare

    if worker:
        scopes = (worker_scope(worker),)
    prepare(store)
    now, who = utc_now(), by_hand()
    until = now + timedelta(days=days) if days else None
    with store.write() as connection:
        token_id, text = tokens.make(connection, name, scopes, by=who.name, now=now, until=until)
        subject = f"{token_id} {name}: {' '.join(sorted(scopes))}"
        audit(connection, who, "token.made", subject, at=now)
    if as_json:
        print_json({"id": token_id, "token": text, "scopes": sorted(scopes)})
    else:
        click.echo(text)
        click.echo("It is shown this once, and kept nowhere.", err=True)


@token.command("list")
@store_options
@json_option
def show(store: Store, as_json: bool) -> None:
    """Show every token, those that were revoked, too. Secrets are kept nowhere."""
    from certpin_watch.auth import tokens
    from certpin_watch.store import prepare

    prepare(store)
    with store.read() as connection:
        found = tokens.every(connection)
    if as_json:
        print_json({"tokens": [_facts(each) for each in found]})
        return
    for each in found:
        click.echo(f"{each.id}  {each.name:24}  {' '.join(sorted(each.scopes)):20}  {_state(each)}")
    if not found:
        click.echo("There are no tokens.")


@token.command("revoke")
@click.argument("token_id", metavar="ID")
@store_options
@json_option
def revoke(store: Store, token_id: str, as_json: bool) -> None:
    """End a token, from its next use on."""
    from certpin.pins import utc_now
    from certpin_watch.auth import tokens
    from certpin_watch.auth.audit import audit
    from certpin_watch.cli.user import by_hand
    from certpin_watch.store import prepare

    prepare(store)
    now = utc_now()
    with store.write() as connection:
        tokens.revoke(connection, token_id, now)
        audit(connection, by_hand(), "token.revoked", token_id, at=now)
    print_done({"id": token_id}, f"The token {token_id} is no longer valid.", as_json=as_json)


def _state(each: Token) -> str:
    from certpin_watch.cli.user import shown

    if each.revoked_at is not None:
        return f"revoked {shown(each.revoked_at)}"
    used = f"last used {shown(each.used_at)}" if each.used_at is not None else "never used"
    return f"{used}, until {shown(each.until)}" if each.until is not None else used


def _facts(each: Token) -> dict[str, object]:
    from certpin_watch.cli.user import shown

    return {
        "id": each.id,
        "name": each.name,
        "scopes": sorted(each.scopes),
        "location": each.location or None,
        "made": shown(each.made_at),
        "made_by": each.made_by,
        "until": shown(each.until) or None,
        "used": shown(each.used_at) or None,
        "revoked": shown(each.revoked_at) or None,
    }
