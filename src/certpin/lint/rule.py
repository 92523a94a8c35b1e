"""What a rule is, and what it finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from certpin.lint.document import Document

Severity = Literal["error", "warning", "note"]
Needs = Literal["file", "live", "exports"]

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")  # the worst first


@dataclass(frozen=True)
class Hit:
    """What a check found: at which key (``host[2].expires``) or line, and in words."""

    key: str
    message: str
    fix: str = ""
    line: int | None = None


@dataclass(frozen=True)
class Rule:
    """One rule. Pure: ``check`` sees the document and the time, and nothing else.

    ``why`` says how it locks out or exposes, ``fix`` what to do, ``source`` who says so. ``needs``
    is what the document has to hold: the file alone, what servers presented, or exported files.
    ``refuses`` marks what no client loads: it cannot be allowed. ``bad`` and ``good`` are pin
    files, with the words of ``examples`` in place of pins; they are its tests.
    """

    id: str
    severity: Severity
    summary: str
    why: str
    fix: str
    check: Callable[[Document, datetime], Iterable[Hit]]
    bad: str
    good: str
    source: str = ""
    needs: Needs = "file"
    refuses: bool = False


@dataclass(frozen=True)
class Finding:
    """What is wrong, and where. Its words may hold whatever the file does: escape them.

    ``host`` is the policy it is about, or empty. ``allowed`` is the reason of whoever allowed it.
    """

    rule: str
    severity: Severity
    file: str
    line: int
    key: str
    host: str
    message: str
    fix: str
    allowed: str = ""
