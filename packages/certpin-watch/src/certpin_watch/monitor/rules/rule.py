"""What a rule of the monitor is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from certpin_watch.finding import Finding
    from certpin_watch.monitor.case import Case, Scene


@dataclass(frozen=True)
class Rule:
    """One rule, pure. ``id`` names its findings; ``summary`` says what it finds, ``why`` whom that
    hurts. ``case`` looks at one policy, ``scene`` at all that is watched; one of the two is there.
    """

    id: str
    summary: str
    why: str
    case: Callable[[Case], Iterable[Finding]] | None = None
    scene: Callable[[Scene], Iterable[Finding]] | None = None
