"""docs/formats.md agrees with the registry of the formats."""

from __future__ import annotations

from certpin.formats import FORMATS
from scripts import formats_page


def test_the_page_is_current() -> None:
    assert formats_page.TARGET.read_text(encoding="utf-8") == formats_page.text(), "make formats"


def test_every_format_has_its_limits_and_their_reasons_there() -> None:
    page = formats_page.text()
    for each in FORMATS.values():
        section = page.partition(f"\n## {each.name}\n")[2].partition("\n## ")[0]
        assert f"certpin export {each.name} --out" in section
        assert all(limit.summary in section for limit in each.limits)
        assert all(need in section for need in each.needs)
