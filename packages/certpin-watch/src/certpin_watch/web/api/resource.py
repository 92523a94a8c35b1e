"""What a resource is, and what all of them use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from certpin.errors import HostError
from certpin.pins import normalise
from certpin_watch.store.queries import report_counts
from certpin_watch.store.queries.base import Thresholds
from certpin_watch.web.api import asking
from certpin_watch.web.api.asking import CURSOR, LIMIT, Parameter, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sqlalchemy import Connection

    from certpin_watch.snapshot import Watch
    from certpin_watch.store.queries.base import Page

Item = TypeVar("Item")

PAGED = (CURSOR, LIMIT)


class Listed(msgspec.Struct, Generic[Item], frozen=True):
    """A part of a list. ``next`` is the `cursor` of what follows; none where it ends."""

    items: list[Item]
    next: str | None = None


@dataclass(frozen=True)
class Ask:
    """What a resource is made from."""

    watch: Watch
    connection: Connection
    now: datetime
    path: dict[str, str]
    query: dict[str, Any]

    @property
    def limits(self) -> Thresholds:
        """From when on something is old, or near."""
        return Thresholds.of(self.watch.settings)

    @property
    def within(self) -> report_counts.Range:
        """The range of time that is asked for."""
        return report_counts.Range(*asking.within(self.query, self.now))


@dataclass(frozen=True)
class Resource:
    """One address. ``answers`` is the type of what it returns; ``path`` as starlette has it."""

    path: str
    about: str
    answers: Any
    find: Callable[[Ask], Any]
    parameters: tuple[Parameter, ...] = ()
    lasts: bool = False


def listed(page: Page[Any]) -> Listed[Any]:
    """A page of facts as a resource answers it."""
    return Listed(list(page.items), asking.cursor_of(page.next))


def there(found: Item | None) -> Item:
    """What was found. Raises ``RefusedError`` where nothing was."""
    if found is None:
        raise RefusedError(404, "There is no such thing", "The watch knows nothing of this name.")
    return found


def name_of(ask: Ask) -> str:
    """The host in the path. Raises ``RefusedError``."""
    try:
        return normalise(ask.path["name"])
    except HostError as exc:
        raise RefusedError(
            404, "There is no such thing", "This is not the name of a host."
        ) from exc
