"""``certpin watch user``: who signs in with a name and a password."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from certpin.cli.group import Group
from certpin.cli.options import json_option
from certpin.cli.reply import print_done, print_json
from certpin_watch.cli.options import store_options, watch_options

if TYPE_CHECKING:
    from certpin_watch.auth.visitor import Visitor
    from certpin_watch.snapshot import Watch
    from certpin_watch.store import Store

_ROLES = ("viewer", "operator", "admin")
_MOST = 4096  # bytes of standard input that are read for a password

role_option = click.option(
    "--role",
    type=click.Choice(_ROLES),
    default="viewer",
    show_default=True,
    help="A viewer sees, an operator silences alerts, an admin makes tokens and reads the record.",
)


@click.group(cls=Group)
def user() -> None:
    """Manage the accounts of people who sign in with a password.

    \b
    certpin watch user add anna --role admin
    certpin watch user list

    The command asks for the password, or reads it from standard input. It is never an argument,
    because every process of the machine can see those. Each change signs the account out
    everywhere.
    """  # noqa: D301  # click reads the \b itself


@user.command("add")
@click.argument("name")
@role_option
@watch_options
@json_option
def add(watch: Watch, name: str, role: str, as_json: bool) -> None:
    """Make an account."""
    from certpin.pins import utc_now
    from certpin_watch.auth import accounts
    from certpin_watch.auth.audit import audit
    from certpin_watch.store import prepare

    prepare(watch.store)
    hashed = accounts.hash_new(_password(name), name, watch.settings.public_url)
    now = utc_now()
    with watch.store.write() as connection:
        accounts.add(connection, name, role, hashed, now)
        audit(connection, by_hand(), "account.made", f"{name}: {role}", at=now)
    print_done({"name": name, "role": role}, f"{name} can sign in, as {role}.", as_json=as_json)


@user.command("list")
@store_options
@json_option
def show(store: Store, as_json: bool) -> None:
    """Show who has an account."""
    from certpin_watch.auth import accounts
    from certpin_watch.store import prepare

    prepare(store)
    with store.read() as connection:
        found = accounts.everyone(connection)
    if as_json:
        print_json(
            {
                "users": [
                    {
                        "name": each.name,
                        "role": each.role,
                        "last_login": shown(each.login_at) or None,
                    }
                    for each in found
                ]
            }
        )
        return
    for each in found:
        last = shown(each.login_at) or "never"
        click.echo(f"{each.name:24}  {each.role:8}  last signed in: {last}")
    if not found:
        click.echo("Nobody has an account.")


@user.command("remove")
@click.argument("name")
@store_options
@json_option
def remove(store: Store, name: str, as_json: bool) -> None:
    """Take an account away, and sign it out everywhere."""
    from certpin.pins import utc_now
    from certpin_watch.auth import accounts
    from certpin_watch.auth.audit import audit
    from certpin_watch.store import prepare

    prepare(store)
    with store.write() as connection:
        accounts.remove(connection, name)
        audit(connection, by_hand(), "account.removed", name, at=utc_now())
    print_done({"name": name}, f"{name} is gone, and signed out everywhere.", as_json=as_json)


@user.command("password")
@click.argument("name")
@watch_options
@json_option
def password(watch: Watch, name: str, as_json: bool) -> None:
    """Set another password, and sign the account out everywhere."""
    from certpin.pins import utc_now
    from certpin_watch.auth import accounts
    from certpin_watch.auth.audit import audit
    from certpin_watch.store import prepare

    prepare(watch.store)
    hashed = accounts.hash_new(_password(name), name, watch.settings.public_url)
    now = utc_now()
    with watch.store.write() as connection:
        accounts.set_password(connection, name, hashed, now)
        audit(connection, by_hand(), "account.password", name, at=now)
    text = f"{name} has another password, and is signed out everywhere."
    print_done({"name": name}, text, as_json=as_json)


@user.command("role")
@click.argument("name")
@click.argument("role", type=click.Choice(_ROLES))
@store_options
@json_option
def change_role(store: Store, name: str, role: str, as_json: bool) -> None:
    """Change what an account may do, and sign it out everywhere."""
    from certpin.pins import utc_now
    from certpin_watch.auth import accounts
    from certpin_watch.auth.audit import audit
    from certpin_watch.store import prepare

    prepare(store)
    with store.write() as connection:
        accounts.set_role(connection, name, role)
        audit(connection, by_hand(), "account.role", f"{name}: {role}", at=utc_now())
    text = f"{name} is {role} now, and signed out everywhere."
    print_done({"name": name, "role": role}, text, as_json=as_json)


def by_hand() -> Visitor:
    """Who stands in the record for what is done on the machine itself."""
    import getpass

    from certpin_watch.auth.audit import somebody

    try:
        return somebody(f"cli:{getpass.getuser()}")
    except (OSError, KeyError):  # a container whose user has no name
        return somebody("cli:")


def shown(seconds: int | None) -> str:
    """A moment for people and JSON; empty for none."""
    return "" if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _password(name: str) -> str:
    """Asked for on a terminal; elsewhere the first line of standard input."""
    if sys.stdin.isatty():
        text: str = click.prompt(
            f"Password for {name}", hide_input=True, confirmation_prompt=True, err=True
        )
        return text
    data = sys.stdin.buffer.readline(_MOST)
    try:
        return data.decode().rstrip("\r\n")
    except UnicodeDecodeError as exc:
        raise click.UsageError("the password on standard input is not UTF-8") from exc
