"""Helpers that pass Dart code to certpin's reader for Dart, and return what the reader reports.

Tree-sitter has no packages for Python 3.15: a module that uses this one has ``NEEDS_PARSER``.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from certpin.apps.dart.reader import read_dart
from certpin.apps.model import SourceFile

if TYPE_CHECKING:
    from certpin.apps.model import FileFindings

NEEDS_PARSER = pytest.mark.until_python("3.14")
NOW = datetime(2027, 3, 1, tzinfo=UTC)

KEY = "K2kVyeYcWi1X6QZ7KxiDuyncTqMSbiChj7u58R9y3qU="
KEY_2 = "bJT4rZGQcU2bUqhBkvU6cXcev3xwwN0kq/xSGx+T6M8="
HEX = "5fd1ae0c3b7e4426a1f8c5930d2be67f8094a2b3c1d0e5f60718293a4b5c6d7e"
HEX_2 = "c41d09b2e7563fa88091d3e24bc7f50613a2b495d6e7f8091a2b3c4d5e6f7081"
COLONS = bytes.fromhex(HEX).hex(":").upper()
WHOLE, WHOLE_2 = (f"cert-sha256/{bytes.fromhex(x).hex(':').upper()}" for x in (HEX, HEX_2))
SHA1 = "5fd1ae0c3b7e4426a1f8c5930d2be67f8094a2b3"


def read(code: str | bytes, path: str = "lib/a.dart") -> FileFindings:
    """Return what certpin's reader finds in a Dart file with this code, at this path."""
    data = code.encode() if isinstance(code, str) else code
    return read_dart(SourceFile(path, data, data.decode("utf-8", "replace")), NOW)


def pins(code: str) -> list[str]:
    """Return the pins in this code, as text."""
    return [str(found.pin) for found in read(code).pins]


def questions(code: str) -> list[str]:
    """Return what the reader cannot decide about this code, as the questions for the user."""
    return [each.question for each in read(code).unknown]


def mistakes(code: str) -> list[tuple[str, int]]:
    """Return the rule and the line of each mistake in this code."""
    return [(each.rule, each.place.line) for each in read(code).mistakes]


def rules(code: str) -> list[str]:
    """Return the rules of the mistakes in this code."""
    return [rule for rule, _ in mistakes(code)]
