"""``certpin publish status``: print when signatures expire, and which signatures are missing.

It also prints whether the signed files were uploaded.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.main import INCONCLUSIVE, PROBLEM_FOUND, SUCCESS
from certpin.cli.options import file_option, json_option, pin_file_option, sign_command
from certpin.cli.publish.context import PublishContext, kind_of, open_context, wait_json, wait_text
from certpin.cli.publish.destination import Delivery, read_delivery
from certpin.cli.reply import fold, print_json, say

if TYPE_CHECKING:
    from pathlib import Path

    from certpin.publish.signing_plan import SigningPolicy


@click.command()
@pin_file_option
@click.option(
    "--within",
    type=click.IntRange(0, 3650),  # the longest lifetime of a signature (publish.settings)
    metavar="DAYS",
    help="Warn this many days before a signature expires; by default when a third of its lifetime "
    "is left.",
)
@click.option("--offline", is_flag=True, help="Don't read the destination of push.")
@json_option
@click.pass_context
def status(
    ctx: click.Context, path: Path, within: int | None, offline: bool, as_json: bool
) -> None:
    """Show roles, keys and dates, and pending signatures and pushes.

    Run it each day, from cron or CI.

    It reads the timestamp and the newest root from url in publish/publish.toml, or from fetch_url,
    and compares them with the signed ones: a job may sign each day, and never push. Newer ones, in
    a clone that is up to date, are of no signer: a key is stolen. If publish.toml has neither, the
    command can't know that, and prints so.

    \b
    certpin publish status
    certpin publish status --within 14

    Exit code 0: nothing expires soon, and the signed files were pushed. 1: a signature expires soon
    or has expired, a push is pending, the destination has a newer timestamp or root (or any, if
    this clone has none), the journal lacks the signed version or has a newer one that lacks
    signatures, or some clients refuse the signed version, which is too far above theirs. 3: the
    destination could not be read.
    """  # noqa: D301  # click reads the \b itself
    context = open_context(path)
    roles = [
        _role(context.policy, name, within) for name in ("root", "targets", "snapshot", "timestamp")
    ]
    delivery = read_delivery(context, offline=offline)
    if warning := _jump_warning(context):
        say("certpin: warning", warning)
    if as_json:
        print_json(_status_json(context, roles, delivery))
    else:
        _print(context, roles, delivery)
    has_url = context.policy.settings.url is not None  # without one, the user copies the files
    unrecorded = _is_unknown(context) or (has_url and context.pushed is False)
    unrecorded |= context.files.lacks_signature
    ends_soon = any(role["ends_soon"] for role in roles)
    if unrecorded or delivery.delivered is False or ends_soon or _is_refused(context):
        ctx.exit(PROBLEM_FOUND)
    ctx.exit(INCONCLUSIVE if delivery.failed else SUCCESS)


def _is_unknown(context: PublishContext) -> bool:
    """Return True if the journal lacks the signed version, so that ``publish push`` refuses it.

    ``publish status`` then ends with exit code 1. ``context`` has the pin file and the folder
    ``publish``.
    """
    return context.policy.state.current is not None and context.pushed is None


def _jump_warning(context: PublishContext) -> str:
    from certpin.publish.jump import jump_warning

    current = context.policy.state.current
    return jump_warning(current.pins.version, context.policy.lowest) if current else ""


def _is_refused(context: PublishContext) -> bool:
    """Return True if some clients refuse the signed version.

    They refuse it if its number is too far above that of the version that they have. The command
    then ends with exit code 1. ``context`` has the pin file and the folder ``publish``.
    """
    from certpin.publish.jump import is_jump

    current = context.policy.state.current
    return current is not None and is_jump(current.pins.version, context.policy.lowest)


def _role(policy: SigningPolicy, name: str, within: int | None) -> dict[str, Any]:
    """Return a TUF role as JSON: its keys, and the version and expiry of its metadata.

    The keys are those of the current root, or of the draft if no root is signed yet.

    Args:
        policy: the state of the metadata.
        name: the role, such as ``targets``.
        within: ``ends_soon`` in the JSON is true if the metadata expires within this number of
            days; None for the default of the role.
    """
    state = policy.state
    root = state.root or state.drafts["root"].signed
    signed = state.root if name == "root" else getattr(state, name)
    keys = [{"key": key, "kind": kind_of(root.keys.get(key))} for key in root.roles[name].keyids]
    fields = {"role": name, "threshold": root.roles[name].threshold}
    if signed is None:
        return {
            **fields,
            "version": None,
            "expires": None,
            "left": None,
            "ends_soon": False,
            "keys": keys,
        }
    soon = (
        policy.ends_soon(name, signed.expires)
        if within is None
        else signed.expires - policy.now <= timedelta(days=within)
    )
    return {
        **fields,
        "version": signed.version,
        "expires": signed.expires.isoformat(),
        "left": int((signed.expires - policy.now).total_seconds()),
        "ends_soon": soon,
        "keys": keys,
    }


def _status_json(
    context: PublishContext, roles: list[dict[str, Any]], delivery: Delivery
) -> dict[str, Any]:
    policy = context.policy
    current = policy.state.current
    return {
        "file": str(context.path),
        "pin_set": context.files.pins.name,
        "url": policy.settings.url,
        "published": policy.latest,
        "signed": current.pins.version if current else None,
        "pushed": context.pushed,
        "lowest": policy.lowest,
        "destination": delivery.where,
        "delivered": delivery.delivered,
        "delivery_problem": delivery.problem or None,
        "roles": roles,
        "waits": [wait_json(wait) for wait in context.pending],
    }


def _print(context: PublishContext, roles: list[dict[str, Any]], delivery: Delivery) -> None:
    from certpin.publish.content import restore_fix

    policy = context.policy
    for role in roles:
        _print_role(role)
    current = policy.state.current
    if current is None:
        click.echo("No version is signed yet.")
        if delivery.problem:
            click.echo(fold(_delivery_text(delivery, ""), sys.stdout))
    else:
        push = f"certpin publish push{file_option(context.path)}"
        if policy.settings.url is None:
            push += ", once publish.toml has a url"
        unknown = f", but the journal has no such version: {restore_fix(current)}"
        out = {True: "", False: f", and not pushed yet: {push}", None: unknown}
        version = f"{current.pins.name} version {current.pins.version}"
        click.echo(fold(f"{version} is signed{out[context.pushed]}.", sys.stdout))
        click.echo(fold(_delivery_text(delivery, push), sys.stdout))
    for wait in context.pending:
        click.echo(fold(wait_text(wait), sys.stdout))
    if context.files.lacks_signature:
        command = sign_command(context.path)
        text = f"Clients can't fetch version {policy.latest} before it is signed: {command}"
        click.echo(fold(text, sys.stdout))


def _delivery_text(delivery: Delivery, push: str) -> str:
    """Return a sentence that says whether the signed files are at their destination.

    ``delivery`` is the comparison of the two. ``push`` is the command that uploads them, for the
    end of the sentence.
    """
    from certpin.support.text import printable

    problem = printable(delivery.problem)
    if delivery.delivered is None:
        return f"Not known: whether the timestamp was pushed: {problem}."
    if delivery.ahead:
        return f"At {delivery.where}, {problem}."
    if not delivery.delivered:
        return f"At {delivery.where}, {problem}: {push}"
    return f"It is at {delivery.where}."


def _print_role(role: dict[str, Any]) -> None:
    from certpin.support.text import printable

    number = f" {role['version']}" if role["version"] else ""
    keys, threshold = role["keys"], role["threshold"]
    some = f", {threshold} of {len(keys)} keys must sign" if len(keys) > 1 else ""
    click.secho(f"{role['role']}{number}", nl=False, bold=True)
    click.secho(f"  {_left(role)}", nl=False, fg="red" if role["ends_soon"] else None)
    click.echo(some)
    for key in keys:
        click.echo(f"  {printable(key['key'])}  {key['kind']}")


def _left(role: dict[str, Any]) -> str:
    if role["left"] is None:
        return "not signed yet"
    date = role["expires"][:16].replace("T", " ")
    if role["left"] <= 0:
        return f"EXPIRED on {date} UTC"
    days, rest = divmod(role["left"], 86400)
    left = f"{days}d{rest // 3600}h"
    return f"until {date} UTC, {left} left" + (": renew it" if role["ends_soon"] else "")
