"""docs/wultra.md has every finding, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from certpin.updates import wultra

PAGE = Path(__file__).parents[3] / "docs/wultra.md"


def test_every_finding_is_explained() -> None:
    files = Path(wultra.__file__).parent.glob("*.py")
    source = "".join(path.read_text(encoding="utf-8") for path in files)
    made = set(re.findall(r'(?:Finding|_wrong)\(\s*"([a-z-]+)"', source))
    table = PAGE.read_text(encoding="utf-8").partition("## What a finding means")[2]
    rows = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    told = {word for row in rows for word in re.findall(r"`([a-z-]+)`", row)}
    assert "order" in made
    assert told == made
