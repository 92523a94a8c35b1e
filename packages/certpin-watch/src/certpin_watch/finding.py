"""What is wrong: said once, in one shape, by whoever finds it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Severity = Literal["critical", "warning", "info"]

SEVERITIES: tuple[Severity, ...] = ("critical", "warning", "info")  # the worst first


@dataclass(frozen=True)
class Finding:
    """One trouble, as it is now. It is there as long as it is found, and gone when it is not.

    ``rule`` names what was broken. ``host`` is a pattern or a name of the pin set, or empty where
    a whole file or vantage is meant; ``pin_set`` is empty where none is concerned. ``summary`` is
    a sentence, ``command`` what to run next, or empty. ``details`` can be written as JSON.
    ``subject`` tells this trouble from others of the same rule: a vantage, a digest, an address.
    What comes from a network stands in ``summary`` and ``details`` as it came: whoever shows it
    escapes it.
    """

    rule: str
    severity: Severity
    host: str
    pin_set: str
    summary: str
    command: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    subject: str = ""

    @property
    def key(self) -> str:
        """The same as long as it is the same trouble, whatever its severity and its words."""
        return f"{self.rule}\n{self.pin_set}\n{self.host}\n{self.subject}"

    @property
    def clients(self) -> int | None:
        """How many clients it touches, as far as the finding itself knows."""
        known = self.details.get("clients")
        return known if isinstance(known, int) else None
