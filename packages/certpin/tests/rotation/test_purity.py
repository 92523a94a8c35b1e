"""The package ``certpin.rotation`` uses no clock, disk or network: callers pass all data in."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import certpin.rotation

FOLDER = Path(certpin.rotation.__file__).parent
READERS = {"history.py": ["open("]}  # load_journal
IMPURE = re.compile(r"\b(?:utc_now|now\(|today\(|open\(|print\(|read_text|write_text|socket|os\.)")


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_the_package_uses_no_clock_disk_or_network(path: Path) -> None:
    assert IMPURE.findall(path.read_text(encoding="utf-8")) == READERS.get(path.name, [])


def test_impure_code_would_be_found() -> None:
    assert IMPURE.search("moment = datetime.now(UTC)")
    assert IMPURE.search("path.open('rb')")
