"""A violation: a safety rule that a step of a rotation would break."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NoReturn

from certpin.support.text import counted

if TYPE_CHECKING:
    from datetime import datetime

Invariant = Literal[
    "served-chain",
    "backup",
    "version",
    "expiry",
    "adopted",
    "open-chain",
    "active-pin",
    "last-backup",
    "still-served",
    "unseen",
    "compromised",
    "lost",
    "vantage",
    "certificate",
    "clock",
    "unlisted",
    "unrecorded",
    "outdated",
    "dropped-host",
    "unsignable",
]


def clients_text(count: int | None) -> str:
    """Return a number of clients as text, such as ``3 clients``.

    ``None`` gives ``an unknown number of clients``.
    """
    return "an unknown number of clients" if count is None else counted(count, "client")


@dataclass(frozen=True)
class Violation:
    """A safety rule that a step of a rotation would break.

    Attributes:
        invariant: the name of the rule, such as ``backup`` or ``served-chain``.
        problem: the reason why the step is refused, as one sentence without its full stop.
        clients: how many clients would be locked out or unprotected; ``None`` if unknown.
        safe_from: the first time at which the step is safe; ``None`` if waiting does not help.
        fix: how the user can prevent the violation, as text.
    """

    invariant: Invariant
    problem: str
    clients: int | None
    safe_from: datetime | None = None
    fix: str = ""

    @property
    def at_risk(self) -> str:
        """The number of clients that would be locked out or unprotected, as text: ``3 clients``.

        It is ``an unknown number of clients`` if ``clients`` is ``None``.
        """
        return clients_text(self.clients)

    def __bool__(self) -> NoReturn:
        raise TypeError("a violation has no truth value: compare it with None")
