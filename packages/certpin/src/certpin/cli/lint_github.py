"""Annotations: the commands that a GitHub workflow prints to have a line of a file commented on.

Syntax and escapes are those of the runner (actions/toolkit, packages/core/src/command.ts). What a
pin file holds cannot end a command, nor begin one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.x509 import printable

if TYPE_CHECKING:
    from certpin.lint import LintFinding

_COMMANDS = {"error": "error", "warning": "warning", "note": "notice"}
_DATA = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A"})
_PROPERTY = _DATA | str.maketrans({":": "%3A", ",": "%2C"})


def annotation(found: LintFinding) -> str:
    """A finding as one line."""
    file = printable(found.file).translate(_PROPERTY)
    title = f"certpin {found.rule}".translate(_PROPERTY)
    text = f"{printable(found.message)}\nfix: {printable(' '.join(found.fix.split()))}"
    place = f"file={file},line={found.line},title={title}"
    return f"::{_COMMANDS[found.severity]} {place}::{text.translate(_DATA)}"
