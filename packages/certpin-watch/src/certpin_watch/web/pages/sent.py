"""A report as it came, for a page: laid out where it is JSON, and cut where it is long.

Its text is whatever a stranger wrote. Escaping is the templates' matter (``render``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from certpin.support.escaping import clean

if TYPE_CHECKING:
    from datetime import datetime

    from certpin_watch.store.queries.reports import Sample

_MOST = 20_000  # characters that are shown: more than the longest that is kept by default


@dataclass(frozen=True)
class Sent:
    """One report: when it came, from which network (cut), what it is about, and its text."""

    at: datetime
    source: str
    host: str
    text: str
    left_out: int = 0


def sent(sample: Sample) -> Sent:
    """A sample as the page has it."""
    # Cleaned before it is cut: an invisible character takes up to ten that are seen.
    text = clean(_laid_out(sample.body))
    host = sample.group.host if sample.group else ""
    return Sent(sample.received_at, sample.source, host, text[:_MOST], max(0, len(text) - _MOST))


def _laid_out(body: str) -> str:
    """JSON on lines of its own; whatever else it is, as it stands there."""
    try:
        return msgspec.json.format(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return body
