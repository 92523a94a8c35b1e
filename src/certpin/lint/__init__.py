"""Mistakes in ``pins.toml`` that lock out or expose, each with its rule: one file a rule.

Rules are pure functions of a document and the time. A document is read even where ``PinSet.load``
refuses the file, so that all of its mistakes are told at once.
"""

from __future__ import annotations

from certpin.lint.document import Asked, Document, ExportedFile
from certpin.lint.reading import load_document, read_document
from certpin.lint.rule import SEVERITIES, Finding, Rule, Severity
from certpin.lint.rules import RULES
from certpin.lint.run import Report, lint

__all__ = [
    "RULES",
    "SEVERITIES",
    "Asked",
    "Document",
    "ExportedFile",
    "Finding",
    "Report",
    "Rule",
    "Severity",
    "lint",
    "load_document",
    "read_document",
]
