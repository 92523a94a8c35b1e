"""``certpin lab``: list the attacks, serve them to a device, and exchange chains with others."""

from __future__ import annotations

import click

from certpin.cli.main import LazyGroup

COMMANDS = {
    "attacks": "List the attacks, or explain one.",
    "serve": "Serve the attacks to a device, host by host.",
    "import": "Make a case file of another test suite.",
    "export": "Write the chains of the attacks as PEM, for other test suites.",
}


@click.group(cls=LazyGroup, lazy=COMMANDS, package="certpin.cli.lab")
def lab() -> None:
    """List the attacks, serve them to a device, or exchange chains with others.

    Use certpin prove for a program on this machine, and certpin lab serve for an app on a phone or
    in an emulator.

    \b
    certpin lab attacks                              which attacks are there?
    certpin lab serve --host api.bank.example        attack the app on a device
    """  # noqa: D301  # click reads the \b itself
