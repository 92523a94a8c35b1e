"""What a terminal is told: errors and warnings in one form, long lines folded, nothing hostile."""

from __future__ import annotations

import os
import sys
import textwrap
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

_NARROWEST = 40  # columns; on less nothing is folded
_UNBOUNDED = 10_000  # columns of what is no terminal
_INDENT = 4  # columns, by which the rest of a folded line goes in


def say(who: str, text: str) -> None:
    """Print an error or a warning to standard error: ``certpin: …``."""
    click.secho(f"{who}: ", nl=False, err=True, bold=True, color=_colour())
    click.echo(fold(text, sys.stderr, taken=len(who) + 2), err=True)


def fold(text: str, stream: TextIO, *, taken: int = 0) -> str:
    """Text for people: each line folded to the width of the terminal, control characters escaped.

    Where the stream is no terminal, lines stay whole, for programs that search them. ``taken``
    columns of the first line are in use already.
    """
    from certpin.x509 import printable

    lines = [printable(line) for line in text.splitlines()]
    width = width_of(stream)
    if width < _NARROWEST:
        return "\n".join(lines)
    return "\n".join(
        _fold_line(line, width, 0 if index else taken) for index, line in enumerate(lines)
    )


def table_console(*, quiet: bool = False) -> Console:
    """Where tables are printed. A file or a pipe has no width: there, each row has one line."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else _UNBOUNDED, quiet=quiet)


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Show warnings as errors are shown, without a place in certpin's own code."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: say("certpin: warning", str(message))
        yield


def _fold_line(line: str, width: int, taken: int) -> str:
    own = len(line) - len(line.lstrip())
    folded = textwrap.fill(
        line.strip(),
        width,
        initial_indent=" " * (own + taken),
        subsequent_indent=" " * (own + _INDENT),
        break_long_words=False,  # a pin stays whole, for whoever copies it
        break_on_hyphens=False,
    )
    return folded[taken:]


def width_of(stream: TextIO) -> int:
    """The columns of a terminal; 0 for anything else."""
    if not stream.isatty():
        return 0
    columns = os.environ.get("COLUMNS", "")
    try:
        return int(columns) if columns else os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        return 0


def _colour() -> bool | None:
    """For messages outside a command: ``None`` lets click look at the stream."""
    return False if "NO_COLOR" in os.environ else None
