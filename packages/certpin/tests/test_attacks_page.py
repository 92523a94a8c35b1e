"""docs/attacks.md agrees with the registry of the lab's cases."""

from __future__ import annotations

from certpin.lab.attacks import CASES, CONTROL
from scripts import attacks_page


def test_the_attacks_page_is_current() -> None:
    assert attacks_page.TARGET.read_text(encoding="utf-8") == attacks_page.text(), "make attacks"


def test_the_page_has_every_case_once() -> None:
    lines = attacks_page.text().splitlines()
    for case in (CONTROL, *CASES):
        assert lines.count(f"### {case.name}") == 1
        assert sum(line.startswith(f"| [{case.name}](") for line in lines) == 1


def test_the_texts_of_a_case_are_escaped() -> None:
    assert attacks_page._cell(r"a|b *c* _d_ <e> `f` [g] \0") == (
        r"a\|b \*c\* \_d\_ \<e> \`f\` \[g] \\0"
    )
