"""A context manager with a reporter for tests."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from certpin.reports import Reporter, ReporterSettings
from tests.reports._failures import Clock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

QUICK = ReporterSettings(retry=timedelta(milliseconds=1), rest=timedelta(milliseconds=2))


@contextmanager
def reporting(folder: Path, **fields: Any) -> Iterator[Reporter]:
    """Yield a ``Reporter`` with its queue in ``folder``. At the end, close it without waiting.

    Args:
        folder: the folder of queued reports.
        fields: other arguments of ``Reporter``; by default, with a ``Clock`` that never moves.
    """
    reporter = Reporter(folder, clock=fields.pop("clock", Clock()), **fields)
    try:
        yield reporter
    finally:
        reporter.close(0)
