"""Parts of a rotation step's outcome: events of the journal, conclusions, and later commands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from certpin.rotation import Event
    from certpin.rotation.prospect import Conclusion


@dataclass(frozen=True)
class HostConclusion:
    """Whether the clients of a version accept the chain of a host, as far as the chain is known."""

    host: str
    version: int
    conclusion: Conclusion

    def json(self) -> dict[str, Any]:
        """Return the conclusion as JSON."""
        return {"host": self.host, "version": self.version, "conclusion": self.conclusion}


def conclusion_lines(found: Sequence[HostConclusion]) -> list[str]:
    """Return conclusions as text: a line for each host and conclusion, with its versions."""
    by: dict[tuple[str, Conclusion], list[int]] = {}
    for each in found:
        by.setdefault((each.host, each.conclusion), []).append(each.version)
    lines = []
    for (host, conclusion), numbers in by.items():
        names = ", ".join(str(number) for number in sorted(set(numbers)))
        several = len(set(numbers)) > 1
        verb = {
            "accepted": "accept it" if several else "accepts it",
            "refused": "refuse it" if several else "refuses it",
            "open": "are open" if several else "is open",
        }[conclusion]
        lines.append(f"{host}: {'versions' if several else 'version'} {names} {verb}.")
    return lines


def event_json(event: Event) -> dict[str, Any]:
    """Return an event of the journal as JSON."""
    return {
        "step": event.step,
        "host": event.host or None,
        "pin": str(event.pin) if event.pin else None,
        "version": event.version,
    }


def later_line(command: str, date: datetime | None) -> str:
    """Return the line for a command that comes later: its first safe date, and the command."""
    from certpin.rotation import in_utc

    return f"From {in_utc(date)} on:  {command}" if date else f"Later:  {command}"
