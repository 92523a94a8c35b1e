"""Exported files beside the pin file: what ``certpin lint --exported`` compares."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from certpin.pinfile import PinSet
    from certpin.pinfile.lint import ExportedFile

# By the name of a format: what tells how a file of it differs from a pin set, in words.
COMPARE: dict[str, Callable[[Path, PinSet], ExportedFile]] = {}


def gather_exports(named: Sequence[str], pins: PinSet | None) -> tuple[ExportedFile, ...] | None:
    """Compare each ``FORMAT=PATH`` with the pin set. Raises ``click.UsageError``.

    ``None`` where none is named, or where clients refuse the pin file: then nothing is exported.
    """
    from pathlib import Path

    pairs = [_pair(text) for text in named]
    if not pairs or pins is None:
        return None
    return tuple(COMPARE[format_name](Path(path), pins) for format_name, path in pairs)


def _pair(text: str) -> tuple[str, str]:
    format_name, equals, path = text.partition("=")
    if not equals or not path:
        raise click.UsageError(f"--exported {text!r} is not FORMAT=PATH")
    if format_name not in COMPARE:
        raise click.UsageError(f"no such format: {format_name!r}")
    return format_name, path
