"""A plan: steps with their dates, and why it cannot go on after them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from certpin.pins import Pin

if TYPE_CHECKING:
    from datetime import datetime

    from certpin.rotation.breach import Breach

Act = Literal["generate", "stage", "publish", "push", "activate", "serve", "retire", "remove"]

# The key of the next backup does not exist yet: in a rehearsal this stands for it.
NEXT_BACKUP = Pin.of_key(hashlib.sha256(b"the next backup, which nobody has made yet").digest())


@dataclass(frozen=True)
class Step:
    """Something to do. ``pin`` is ``NEXT_BACKUP`` for a key that is still to be made.

    ``not_before`` is the date before which it locks somebody out, ``None``: do it now, or as soon
    as the step before is done. ``counts_from`` is the version of this plan whose publishing that
    date counts from: who publishes an hour later adds an hour. ``waits`` is what has to be seen
    first, or empty. ``version`` is what a publish makes, or a push hands out.
    """

    act: Act
    pin: Pin | None = None
    not_before: datetime | None = None
    counts_from: int | None = None
    waits: str = ""
    version: int | None = None


@dataclass(frozen=True)
class Plan:
    """Steps in their order; ``breaches`` say why it cannot go on after them, or at all."""

    to: Pin
    steps: tuple[Step, ...]
    breaches: tuple[Breach, ...] = ()

    @property
    def possible(self) -> bool:
        """Whether the last step leads to the new key."""
        return not self.breaches
