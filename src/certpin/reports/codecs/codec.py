"""A codec: how a format is recognised, read, and written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from certpin.reports.model import Presence, Report

    Said = Report | Presence


@dataclass(frozen=True)
class Codec:
    """One format.

    ``recognises`` tells by the shape of a document whether it is one of this format, and ``decode``
    raises ``FormatError`` where it is a damaged one. ``encode`` is ``None`` where certpin never
    writes the format; what the format has no field for is left out.
    """

    name: str
    content_type: str
    recognises: Callable[[object], bool]
    decode: Callable[[Any, datetime], tuple[Said, ...]]
    encode: Callable[[Report], dict[str, Any]] | None = None
