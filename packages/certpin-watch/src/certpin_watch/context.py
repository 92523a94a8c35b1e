"""The context object that every part of the service gets: ``Watch``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from certpin.pins import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from certpin_watch.settings import ServiceSettings
    from certpin_watch.snapshot import PinFiles
    from certpin_watch.store import Store


@dataclass(frozen=True)
class Watch:
    """The context of the service: settings, store, monitored pin files and clock."""

    settings: ServiceSettings
    store: Store
    pin_files: PinFiles
    clock: Callable[[], datetime] = utc_now
