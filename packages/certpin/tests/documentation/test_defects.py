"""docs/reference/defects.md: each class of defect names a case of the lab, or why there is none."""

from __future__ import annotations

import re

import pytest

from certpin.lab.attacks import CASES
from certpin.lab.report.mastg import TESTS
from tests.documentation._blocks import ROOT

PAGE = (ROOT / "docs" / "reference" / "defects.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith("| source")
]
SOURCES = (
    *("Georgiev 2012", "Fahl 2012", "Brubaker 2014", "Stone 2017", "Oltrogge 2021"),
    *("Pradeep 2022", "MASTG", "CWE"),
)


def test_each_source_is_in_the_table() -> None:
    named = [row[0] for row in ROWS if row[0]]
    assert [
        source for source in SOURCES if not any(name.startswith(source) for name in named)
    ] == []


def test_every_case_in_the_table_is_one_of_the_matrix() -> None:
    named = {name for row in ROWS for name in re.findall(r"`([^`]+)`", row[3])}
    assert len(named) >= 25
    assert named <= {case.name for case in CASES}


@pytest.mark.parametrize("row", ROWS, ids=range(len(ROWS)))
def test_each_class_has_a_case_or_a_reason_and_was_read(row: list[str]) -> None:
    _, read, defect, cases, reason = row
    assert cases or len(reason) > 20
    assert bool(defect) == (read != "not read")
    assert re.fullmatch(r"(`[a-z0-9.-]+`(, )?)*", cases)


def test_every_mastg_test_of_the_report_is_in_the_table() -> None:
    found = {
        number
        for row in ROWS
        if row[0].startswith("MASTG")
        for number in re.findall(r"\d{4}", row[0])
    }
    assert found >= {name.rpartition("-")[2] for name in TESTS}
