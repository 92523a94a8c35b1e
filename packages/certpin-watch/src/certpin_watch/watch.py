"""What every part of the watch works with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from certpin.pins import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from certpin_watch.settings import Settings
    from certpin_watch.store import Store
    from certpin_watch.watched import Watched


@dataclass(frozen=True)
class Watch:
    """The settings, the store, the pin sets that are watched, and the clock."""

    settings: Settings
    store: Store
    watched: Watched
    clock: Callable[[], datetime] = utc_now
