"""Reports of a lab run. Each format has a file with one function, which returns the report.

The strings of a report come from certificates, clients and hosts that may be hostile: every format
escapes them in its own way. All formats take their sentences from the module ``words``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lab.report.html import to_html
from certpin.lab.report.json import to_json
from certpin.lab.report.junit import to_junit
from certpin.lab.report.sarif import to_sarif

if TYPE_CHECKING:
    from collections.abc import Callable

    from certpin.lab.runner import Run

# A new format is one file and one line here.
FORMATS: dict[str, Callable[[Run], str]] = {
    "json": to_json,
    "junit": to_junit,
    "sarif": to_sarif,
    "html": to_html,
}

__all__ = ["FORMATS"]
