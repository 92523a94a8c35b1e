"""docs/reporting.md has every setting and every field, including those that Dart sends."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from pathlib import Path

from certpin.reports import Reporter, ReporterSettings
from certpin.reports.codecs.trustkit import REASONS
from tests.reports.codecs._documents import certpin, presence

_ROOT = Path(__file__).parents[4]
_PAGE = (_ROOT / "docs" / "reporting.md").read_text(encoding="utf-8")
_DART = _ROOT / "packages/certpin-dart/lib/report.dart"


def _rows(heading: str) -> set[str]:
    """Return the code in the first column of the tables under a heading."""
    section = _PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return {word for row in rows for word in re.findall(r"`([^`]+)`", row)}


def test_every_setting_has_its_row() -> None:
    assert _rows("Limits") == {field.name for field in fields(ReporterSettings)}


def test_every_argument_of_a_reporter_has_its_row() -> None:
    names = set(inspect.signature(Reporter).parameters)
    assert _rows("Three lines") == names


def test_every_field_of_a_report_and_of_a_presence_has_its_row() -> None:
    assert _rows("The report, field by field") == {*certpin(), *presence()}


def test_every_reason_of_trustkit_is_named() -> None:
    assert all(f"`{reason}`" in _PAGE for reason in REASONS)


def test_the_fields_of_the_dart_client_are_known() -> None:
    body = _DART.read_text(encoding="utf-8").partition("List<String> served) => {")[2]
    fields = re.compile(r"^ +(?:if \(.*\)\s+)?'([a-z-]+)':", re.MULTILINE)
    sent = set(fields.findall(body.partition("};")[0]))
    assert {"schema", "hostname", "effective-expiration-date", "platform"} <= sent
    assert {"app", "app-version"} <= sent
    assert sent <= set(certpin())
