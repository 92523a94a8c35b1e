"""Parse commands of the documentation and of alerts with the real command line."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from certpin.cli.main import cli


def parse(words: list[str]) -> click.Context:
    """Parse a command with the real command line, without running it.

    Returns:
        The context of the command, with the values of its parameters.

    Raises:
        click.ClickException: there is no such command or option.
    """
    command: click.Command = cli
    above, name, rest = None, "certpin", list(words)
    while isinstance(command, click.Group):
        above = click.Context(command, parent=above, info_name=name)
        name, *rest = rest or [""]
        found = command.get_command(above, name)
        if found is None:
            raise click.UsageError(f"there is no command {name!r}", above)
        command = found
    return command.make_context(name, rest, parent=above)


def check_next_command(text: str) -> None:
    """Check the command of an alert: certpin has it, and a file in its arguments is a pin file.

    An alert can also have a sentence in the place of a command, or the command of another program.
    """
    if not text.startswith("certpin "):
        return
    name, *words = shlex.split(text)
    assert name == "certpin"
    values = parse(words).params
    files = [values.get("path"), values.get("pin_file"), *values.get("files", ())]
    assert {Path(file).suffix for file in files if file is not None} <= {".toml"}, text
