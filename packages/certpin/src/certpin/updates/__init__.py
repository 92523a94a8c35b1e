"""Update the pins of an app over the air: pin sets signed with TUF (The Update Framework).

A ``PinUpdater`` has an SSL context, and replaces its pins when a newer signed pin set is published:

    with PinUpdater(pins=pins, root=root, url="https://pins.example/", cache=folder) as updater:
        updater.context   # an ssl.SSLContext, for any library that takes one

Install its dependencies with ``pip install 'certpin[updates]'``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from certpin.updates.settings import Limits, Timing, UpdateSettings
from certpin.updates.status import UpdateEvent, UpdateStatus

if TYPE_CHECKING:
    from certpin.updates.updater import PinUpdater

__all__ = [
    "Limits",
    "PinUpdater",
    "Timing",
    "UpdateEvent",
    "UpdateSettings",
    "UpdateStatus",
]

_EXTRA = {"tuf", "securesystemslib", "urllib3"}


def __getattr__(name: str) -> Any:
    """Import and return ``PinUpdater``, the only name of this package that needs TUF.

    It is imported on first use, so that other parts of the package work without TUF.

    Raises:
        AttributeError: this package has no such name.
        ModuleNotFoundError: a dependency of the extra ``updates`` is not installed.
    """
    if name != "PinUpdater":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from certpin.updates.updater import PinUpdater
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] not in _EXTRA:
            raise
        raise ModuleNotFoundError(
            f"{exc.name} is missing: pip install 'certpin[updates]'", name=exc.name
        ) from exc
    return PinUpdater
