"""All commands of certpin and all command groups, collected from click."""

from __future__ import annotations

import click

from certpin.cli.main import cli

Path = tuple[str, ...]


def commands() -> dict[Path, click.Command]:
    """Return the commands that are not groups, by path, such as ``("rotate", "status")``."""
    return {
        path: command for path, command in _walk((), cli) if not isinstance(command, click.Group)
    }


def groups() -> dict[Path, click.Group]:
    """Return the groups of commands, by path. The path of ``certpin`` itself is empty."""
    return {path: command for path, command in _walk((), cli) if isinstance(command, click.Group)}


def _walk(path: Path, command: click.Command) -> list[tuple[Path, click.Command]]:
    found = [(path, command)]
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            part = command.get_command(context, name)
            assert part is not None, name
            found += _walk((*path, name), part)
    return found


COMMANDS = commands()
GROUPS = groups()
