"""How many failures are told: pure, with the clock passed in. As the Dart client has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from certpin.reports.reporter.settings import ReporterSettings

_DAY = 24 * 3600.0


def admits(told: dict[str, float], failure: str, now: float, settings: ReporterSettings) -> bool:
    """Whether a failure may be told now, in seconds. Notes it in ``told`` if so.

    ``told`` never grows beyond the limit: an attacker who varies his certificates fills no memory
    and no disk. What was noted later than now goes: the clock was set back, and it would keep
    failures quiet until it has caught up.
    """
    for old in [each for each, at in told.items() if not now - _DAY < at <= now]:
        del told[old]
    before = told.get(failure)
    if before is None and len(told) >= settings.different:
        return False
    if before is not None and now < before + settings.pause.total_seconds():
        return False
    told[failure] = now
    return True
