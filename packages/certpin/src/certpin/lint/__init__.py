"""Lint: find mistakes in ``pins.toml`` that lock clients out, or let an attacker in.

Rules are pure functions of the parsed pin file (``LintDocument``) and the time. Each module has the
rules of one family. The pin file is parsed even if ``PinSet.load`` refuses it, so that all of its
mistakes are reported at once.
"""

from __future__ import annotations

from certpin.lint.document import ExportedFile, LintDocument, LiveResult
from certpin.lint.engine import RULES, LintReport, lint
from certpin.lint.reader import load_document, read_document
from certpin.lint.rule import LintFinding, LintRule
from certpin.support.sarif import SEVERITIES, Severity

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
