"""``certpin lab``: the attacks by name, and an interactive lab for devices."""

from __future__ import annotations

import click

from certpin.cli.lab_attacks import attacks
from certpin.cli.lab_serve import serve


@click.group()
def lab() -> None:
    """List the attacks, or serve them to a device."""


lab.add_command(attacks)
lab.add_command(serve)
