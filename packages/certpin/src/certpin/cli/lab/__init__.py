"""``certpin lab``: the list of attacks, and an interactive lab for devices."""

from __future__ import annotations

import click

from certpin.cli.group import LazyGroup

COMMANDS = {
    "attacks": "List the attacks, or explain one.",
    "serve": "Serve the attacks to a device, host by host.",
}
_MODULES = {
    "attacks": "lab.attacks",
    "serve": "lab.serve",
}


@click.group(cls=LazyGroup, lazy=COMMANDS, modules=_MODULES)
def lab() -> None:
    """List the attacks, or serve them to a device."""
