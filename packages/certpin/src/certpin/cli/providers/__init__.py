"""``certpin providers``: the roots of certificate providers, and the pins made from these roots."""

from __future__ import annotations

import click

from certpin.cli.main import LazyGroup
from certpin.cli.options import json_option

COMMANDS = {
    "show": "List the providers with their roots, sources and last change.",
    "update": "Compare the pins of a file with the provider data, and bring them up to date.",
}


@click.group(
    cls=LazyGroup,
    lazy=COMMANDS,
    package="certpin.cli.providers",
    invoke_without_command=True,
    subcommand_metavar="[COMMAND] [ARGS]...",  # older releases of click lack the brackets
)
@json_option
@click.pass_context
def providers(ctx: click.Context, as_json: bool) -> None:
    """List the root sets of providers, or bring the pins of a file up to date.

    A provider such as Let's Encrypt, Cloudflare or AWS chooses from which of its roots it issues.
    certpin add HOST --provider NAME pins all of them. The data comes with certpin, as of an edition
    (a date); nothing is downloaded, and it is no promise of a provider.

    \b
    certpin providers show                   all providers, as certpin providers does
    certpin providers show cloudflare        one of them
    certpin providers update                 after each update of certpin
    """  # noqa: D301  # click reads the \b itself
    if ctx.invoked_subcommand is None:
        from certpin.cli.providers.show import show

        ctx.invoke(show, names=(), as_json=as_json)
