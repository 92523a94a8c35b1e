"""``certpin watch user``: accounts of users who sign in with a password."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from certpin.cli.main import Group
from certpin.cli.options import json_option
from certpin.cli.reply import print_done, print_json
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

# A copy of `permissions.ROLES`, which help does not import (decision 43). A test compares them.
_ROLES = ("viewer", "operator", "admin")
_MAX_LINE = 4096  # bytes of standard input that are read for a password

role_option = click.option(
    "--role",
    type=click.Choice(_ROLES),
    default="viewer",
    show_default=True,
    help="A viewer reads; an operator also silences alerts; an admin also manages tokens and reads "
    "the audit log.",
)


@click.group(cls=Group)
def user() -> None:
    """Manage the accounts of users who sign in with a password.

    \b
    certpin watch user add anna --role admin
    certpin watch user list

    The command asks for the password, or reads it from standard input. It is never an argument,
    because every process on the machine can read those. Each change ends all sessions of the
    account.
    """  # noqa: D301  # click reads the \b itself


@user.command("add")
@click.argument("name")
@role_option
@watch_options
@json_option
def add(watch: Watch, name: str, role: str, as_json: bool) -> None:
    """Create an account.

    The command asks for the password, or reads it from standard input.

    \b
    certpin watch user add anna --role admin

    Exit code 0: done. 2: usage, or a database that can't be used. 3: the database is away, busy,
    or its disk full.
    """  # noqa: D301  # click reads the \b itself
    from certpin.pins import utc_now
    from certpin_watch.auth.credentials import hash_new_password
    from certpin_watch.store.accounts import add_account, audit

    create_database(watch.store)
    hashed = hash_new_password(_read_password(name), name, watch.settings.public_url)
    now = utc_now()
    with watch.store.write() as connection:
        add_account(connection, name, role, hashed, now)
        audit(connection, local_actor(), "account.made", f"{name}: {role}", at=now)
    text = f"{name} can sign in, with the role {role}."
    print_done({"name": name, "role": role}, text, as_json=as_json)


@user.command("list")
@store_options
@json_option
def list_accounts(store: Store, as_json: bool) -> None:
    """List the accounts.

    \b
    certpin watch user list

    Exit code 0: done. 2: usage, or a database that can't be used. 3: the database is away, busy,
    or its disk full.
    """  # noqa: D301  # click reads the \b itself
    from certpin_watch.store.accounts import all_accounts

    require_database(store)
    with store.read() as connection:
        accounts = all_accounts(connection)
    if as_json:
        print_json(
            {
                "users": [
                    {
                        "name": account.name,
                        "role": account.role,
                        "last_login": time_text(account.login_at) or None,
                    }
                    for account in accounts
                ]
            }
        )
        return
    for account in accounts:
        last = time_text(account.login_at) or "never"
        click.echo(f"{account.name:24}  {account.role:8}  last signed in: {last}")
    if not accounts:
        click.echo("There are no accounts.")


@user.command("remove")
@click.argument("name")
@store_options
@json_option
def remove(store: Store, name: str, as_json: bool) -> None:
    """Delete an account, and end its sessions.

    Use it if a person leaves.

    \b
    certpin watch user remove anna

    Exit code 0: done. 2: usage, or a database that can't be used. 3: the database is away, busy,
    or its disk full.
    """  # noqa: D301  # click reads the \b itself
    from certpin.pins import utc_now
    from certpin_watch.store.accounts import audit, remove_account

    require_database(store)
    with store.write() as connection:
        remove_account(connection, name)
        audit(connection, local_actor(), "account.removed", name, at=utc_now())
    text = f"The account {name} is deleted, and its sessions have ended."
    print_done({"name": name}, text, as_json=as_json)


@user.command("password")
@click.argument("name")
@watch_options
@json_option
def password(watch: Watch, name: str, as_json: bool) -> None:
    """Set another password, and end all sessions of the account.

    Use it if a password is forgotten, or was seen by another person. The command asks for the new
    one, or reads it from standard input.

    \b
    certpin watch user password anna

    Exit code 0: done. 2: usage, or a database that can't be used. 3: the database is away, busy,
    or its disk full.
    """  # noqa: D301  # click reads the \b itself
    from certpin.pins import utc_now
    from certpin_watch.auth.credentials import hash_new_password
    from certpin_watch.store.accounts import audit, set_password

    require_database(watch.store)
    hashed = hash_new_password(_read_password(name), name, watch.settings.public_url)
    now = utc_now()
    with watch.store.write() as connection:
        set_password(connection, name, hashed, now)
        audit(connection, local_actor(), "account.password", name, at=now)
    text = f"{name} has another password, and all sessions have ended."
    print_done({"name": name}, text, as_json=as_json)


@user.command("role")
@click.argument("name")
@click.argument("role", type=click.Choice(_ROLES))
@store_options
@json_option
def change_role(store: Store, name: str, role: str, as_json: bool) -> None:
    """Change the role of an account, and end its sessions.

    A viewer reads; an operator also silences alerts; an admin also manages tokens and reads the
    audit log.

    \b
    certpin watch user role anna operator

    Exit code 0: done. 2: usage, or a database that can't be used. 3: the database is away, busy,
    or its disk full.
    """  # noqa: D301  # click reads the \b itself
    from certpin.pins import utc_now
    from certpin_watch.store.accounts import audit, set_role

    require_database(store)
    with store.write() as connection:
        set_role(connection, name, role)
        audit(connection, local_actor(), "account.role", f"{name}: {role}", at=utc_now())
    text = f"{name} has the role {role}, and all sessions have ended."
    print_done({"name": name, "role": role}, text, as_json=as_json)


def _read_password(name: str) -> str:
    """Return a password: from a prompt on a terminal, else the first line of standard input.

    ``name`` is the account, which the prompt shows.

    Raises:
        UsageError: the line is not UTF-8. This is click's error for wrong usage.
    """
    if sys.stdin.isatty():
        text: str = click.prompt(
            f"Password for {name}", hide_input=True, confirmation_prompt=True, err=True
        )
        return text
    data = sys.stdin.buffer.readline(_MAX_LINE)
    try:
        return data.decode().rstrip("\r\n")
    except UnicodeDecodeError as exc:
        raise click.UsageError("the password on standard input is not UTF-8") from exc
