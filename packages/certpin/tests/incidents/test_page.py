"""The page has every incident, and nothing else; the test of an incident compares its section."""

from __future__ import annotations

import re

from tests.incidents._incident import FOOTER, HEADER, INCIDENTS, TARGET, anchor, import_all


def test_the_page_has_every_incident_and_nothing_else() -> None:
    import_all()
    page = TARGET.read_text(encoding="utf-8")
    known = [INCIDENTS[number] for number in sorted(INCIDENTS)]
    table, found, sections = page.removeprefix(HEADER).partition(FOOTER)
    assert (page.startswith(HEADER), found) == (True, FOOTER)
    assert re.findall(r"(?m)^## (.+)$", sections) == [
        f"{each.number}. {each.title}" for each in known
    ]
    rows = [re.findall(r"^\| (\d+) \| \[.+\]\(#([^)]+)\) \|", line) for line in table.splitlines()]
    pairs = dict.fromkeys(pair for row in rows for pair in row)
    assert list(pairs) == [(str(each.number), anchor(each)) for each in known]
