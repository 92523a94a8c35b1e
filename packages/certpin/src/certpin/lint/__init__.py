"""Lint: find mistakes in ``pins.toml`` that lock users out or expose them.

Rules are pure functions of a document and the time, in a file per family. A document is read even
if ``PinSet.load`` refuses the file, so that all of its mistakes are reported at once.
"""

from __future__ import annotations

from certpin.lint.document import ExportedFile, LintDocument, LiveResult
from certpin.lint.engine import RULES, LintReport, lint
from certpin.lint.reader import load_document, read_document
from certpin.lint.rule import SEVERITIES, LintFinding, LintRule, Severity

__all__ = [
    "RULES",
    "SEVERITIES",
    "ExportedFile",
    "LintDocument",
    "LintFinding",
    "LintReport",
    "LintRule",
    "LiveResult",
    "Severity",
    "lint",
    "load_document",
    "read_document",
]
