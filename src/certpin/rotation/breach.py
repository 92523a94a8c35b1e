"""What a step would break: which invariant, whom it would hurt, and when it is safe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NoReturn

if TYPE_CHECKING:
    from datetime import datetime

Invariant = Literal[
    "served-chain",
    "backup",
    "version",
    "expiry",
    "adopted",
    "active-pin",
    "last-backup",
    "still-served",
    "unseen",
    "compromised",
    "vantage",
]


@dataclass(frozen=True)
class Breach:
    """An invariant that would not hold.

    ``problem`` is a sentence without its full stop. ``clients`` is how many would be locked out, or
    left without protection; ``None`` where that is not known. ``safe_from`` is the first moment at
    which the step is safe, ``None`` where waiting alone does not help. ``fix`` says what does.
    """

    invariant: Invariant
    problem: str
    clients: int | None
    safe_from: datetime | None = None
    fix: str = ""

    @property
    def at_risk(self) -> str:
        """The number of clients in words."""
        if self.clients is None:
            return "an unknown number of clients"
        return "1 client" if self.clients == 1 else f"{self.clients} clients"

    def __bool__(self) -> NoReturn:
        raise TypeError("a breach is not true or false: compare it with None")


def in_utc(moment: datetime) -> str:
    """A moment for people: to the minute, rounded up, so that nobody comes too early."""
    from datetime import UTC, timedelta

    moment = moment.astimezone(UTC)
    if moment.second or moment.microsecond:
        moment = moment.replace(second=0, microsecond=0) + timedelta(minutes=1)
    return f"{moment:%Y-%m-%d %H:%M} UTC"
