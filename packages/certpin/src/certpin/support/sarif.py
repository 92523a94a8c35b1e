"""Parts of SARIF 2.1.0 (OASIS, a JSON format for findings) that all reports of certpin share.

Severities have SARIF's words. A comment that allows a finding makes it a suppressed result.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from certpin.support.text import clean

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)

# How severe a finding is: values of SARIF's `level` (section 3.27.10).
Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")  # the worst first

_BECAUSE = re.compile(r"\bbecause\b")

# In a message, braces would be placeholders and brackets links (SARIF 2.1.0 section 3.11.5, .6).
_NO_ESCAPE = str.maketrans({"{": "{{", "}": "}}", "[": "\\[", "]": "\\]", "\\": "\\\\"})


def artifact_uri(path: Path) -> str:
    """Return the URI of a file for SARIF.

    A relative path gives a relative URI, which readers resolve from the root of the repository. An
    absolute path gives a ``file:`` URI.
    """
    return path.as_uri() if path.is_absolute() else quote(os.fsencode(path.as_posix()))


def message(text: str) -> dict[str, str]:
    """Return a SARIF message with this text. No part of it becomes a placeholder or a link."""
    return {"text": clean(text).translate(_NO_ESCAPE)}


def parse_allowance(words: str) -> tuple[tuple[str, ...], str]:
    """Parse a comment that allows findings: ``allow RULE, RULE because REASON``.

    Args:
        words: the text of the comment after ``certpin:``. It may be hostile.

    Returns:
        The IDs of the rules, not checked to exist; empty without the word ``allow``. Then the
        reason; empty if the comment has none, and such a comment must have no effect.
    """
    before, *because = _BECAUSE.split(words, maxsplit=1)
    verb, *rules = before.replace(",", " ").split() or [""]
    reason = because[0].strip(" .:") if because else ""
    return tuple(rule.rstrip(".:") for rule in rules) if verb == "allow" else (), reason
