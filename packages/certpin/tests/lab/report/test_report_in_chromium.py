"""The HTML report in headless Chromium: themes, a phone's screen, accessibility, and its PDF."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe

from certpin.lab.evidence.facts import evidence_facts
from certpin.lab.evidence.folder import print_pdf
from certpin.lab.report.html import to_html
from tests.lab.report import _runs

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser

    from certpin.lab.runner import Run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.peer("chromium-headless-shell"),
    pytest.mark.timeout(240),
]
RUNS = {
    "every outcome": _runs.every_outcome(),
    "hostile": _runs.hostile_run(),
}


def _page(run: Run, path: Path) -> Path:
    facts = evidence_facts(run, files=(), client_version="1.0", environment={})
    path.write_text(to_html(run, facts), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "width", "theme"),
    [
        ("every outcome", 1280, "light"),
        ("every outcome", 1280, "dark"),
        ("every outcome", 390, "light"),
        ("every outcome", 390, "dark"),
        ("hostile", 390, "light"),
    ],
)
def test_the_page_is_accessible_and_no_wider_than_the_screen(
    browser: Browser, tmp_path: Path, name: str, width: int, theme: Literal["light", "dark"]
) -> None:
    page = _page(RUNS[name], tmp_path / "report.html")
    # The page's CSP forbids scripts, also those of axe.
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=theme, bypass_csp=True
    )
    tab = context.new_page()
    tab.goto(page.as_uri())
    tab.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    tab.evaluate(Axe().axe_script)
    found = tab.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
    context.close()
    assert [(rule["id"], rule["nodes"][0]["html"]) for rule in found] == []


def test_the_pdf_is_printed(tmp_path: Path) -> None:
    pdf = tmp_path / "report.pdf"
    made = print_pdf(_page(RUNS["every outcome"], tmp_path / "report.html"), pdf)
    assert made["missing"] is None
    assert made["made_by"].startswith("Chromium ")
    assert pdf.read_bytes().startswith(b"%PDF-")
