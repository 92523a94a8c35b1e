"""docs/lint.md agrees with the registry of the lint rules."""

from __future__ import annotations

from certpin.lint import RULES
from scripts import lint_page


def test_lint_page_is_current() -> None:
    assert lint_page.TARGET.read_text(encoding="utf-8") == lint_page.text(), "make rules"


def test_lint_page_has_every_rule_once_with_both_examples() -> None:
    page = lint_page.text()
    lines = page.splitlines()
    for name in RULES:
        assert lines.count(f"## {name}") == 1
        section = page.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        assert section.count("```toml\n") == 2
        assert "  # <- here\n" in section


def test_lint_page_escapes_markup() -> None:
    assert lint_page._plain(r"a|b *c* _d_ <e> `f` [g] \0") == (
        r"a\|b \*c\* \_d\_ \<e> \`f\` \[g] \\0"
    )
