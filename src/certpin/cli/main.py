"""``certpin``: the group of all commands, and what their errors mean for the exit code."""

from __future__ import annotations

import logging
from importlib import import_module
from typing import Any

import click

from certpin._version import __version__
from certpin.errors import CertpinError, PinError, ProbeError

# The exit codes of every command.
HOLDS = 0
FINDING = 1
USAGE = 2
INCONCLUSIVE = 3

# A new command is one file with a function of its own name, and one line here. Each is loaded when
# it is called: `certpin --version` starts no client library.
COMMANDS = {
    "pin": "Show what a server or a file presents, and what to pin of it.",
    "add": "Write a host into the pin file, with a backup.",
    "check": "Compare what every pinned host serves with what is pinned.",
    "get": "Make one request, pinned.",
    "scan": "Read the certificates of many hosts, as JSON lines.",
    "demo": "Watch a pinned client refuse a man in the middle.",
}


class CommandGroup(click.Group):
    """Loads a command when it is called, and turns certpin's errors into exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the commands, in the order in which a newcomer needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load one command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"certpin.cli.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command. An error of certpin's is printed, and becomes the exit code."""
        try:
            return super().invoke(ctx)
        except CertpinError as exc:
            click.secho("certpin: ", nl=False, err=True, bold=True)
            click.echo(str(exc), err=True)
            ctx.exit(_code(exc))


def _code(exc: CertpinError) -> int:
    if isinstance(exc, PinError):
        return FINDING
    return INCONCLUSIVE if isinstance(exc, ProbeError) else USAGE


@click.group(
    cls=CommandGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 it holds, 1 a finding (pins don't match, a chain doesn't verify), "
    "2 usage or a bad file, 3 inconclusive (the network).",
)
@click.version_option(__version__, prog_name="certpin")
def cli() -> None:
    """Pin certificates, so that a client accepts its own server and nobody else.

    TLS trusts every authority that the machine trusts. A pin narrows that down: it is the
    fingerprint (SHA-256) of a public key that your server's certificate must have, whoever
    issued the certificate. certpin keeps such pins in a file, pins.toml, and has every client
    check them.

    Begin with:  certpin pin HOST        what does my server present?

                 certpin add HOST        pin it, with a backup key

                 certpin check           does everything still match?
    """


def main() -> None:
    """The console script."""
    # A refusal is printed as the error that it is; the log record would say it twice.
    logging.getLogger("certpin").addHandler(logging.NullHandler())
    cli(prog_name="certpin")


if __name__ == "__main__":
    main()
