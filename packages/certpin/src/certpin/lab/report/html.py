"""The report of a run as one HTML page, without scripts and external resources.

It is built as a tree of elements by the standard library's ElementTree, which escapes all text when
it writes: there is no template into which a hostile string could be inserted unescaped.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from certpin.lab.report.page import (
    about,
    badge,
    controls,
    finding,
    folded,
    letters,
    table,
    top,
)
from certpin.lab.report.picture import chain_style
from certpin.lab.report.words import EXPECTED, OUTCOMES, headline
from certpin.lab.verdict import Outcome
from certpin.support.markup import tag, write

if TYPE_CHECKING:
    from xml.etree import ElementTree as ET

    from certpin.lab.runner import Result, Run

Numbered = list[tuple[int, "Result"]]

_SECTIONS = (
    (Outcome.WRONG, "What must be fixed"),
    (Outcome.WARNING, "Warnings"),
    (Outcome.UNDECIDED, "Undecided cases"),
)


def to_html(run: Run) -> str:
    """Return the report of a run as an HTML page. All strings of the run are escaped."""
    style = _style()
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_policy(style)),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("meta", name="robots", content="noindex"),
        tag("title", f"{headline(run)}: {run.host}"),
    )
    sheet = tag("style")
    sheet.text = style
    head.append(sheet)
    page = tag("html", head, tag("body", _main(run), _foot()), lang="en")
    return f"<!DOCTYPE html>\n{write(page)}\n"


def _main(run: Run) -> ET.Element:
    numbered = list(enumerate(run.results))
    parts = [top(run), controls(run), letters()]
    for outcome, title in _SECTIONS:
        chosen = [(n, result) for n, result in numbered if result.outcome is outcome]
        if chosen:
            cases = [finding(run, result, number) for number, result in chosen]
            heading = tag("h2", title, id=f"section-{outcome.value}")
            parts.append(
                tag("section", heading, *cases, aria_labelledby=f"section-{outcome.value}")
            )
    parts += [_overview(numbered), _rest(run, numbered), about(run)]
    return tag("main", *parts)


def _overview(numbered: Numbered) -> ET.Element:
    rows = [
        (
            tag("a", result.case.name, href=f"#case-{number}"),
            badge(result.outcome, OUTCOMES[result.outcome]),
            EXPECTED[result.expect],
            str(result.verdict or "-"),
            result.case.presents,
        )
        for number, result in numbered
    ]
    head = ("Case", "Outcome", "The client", "It did", "Served")
    whole = table(f"All {len(rows)} cases, in the order of the run", head, list(rows))
    title = tag("h2", "All cases", id="all")
    return tag("section", title, tag("details", tag("summary", "Show the table"), whole))


def _rest(run: Run, numbered: Numbered) -> ET.Element:
    """Return the section of the page with the cases that need no attention, by family."""
    shown = {outcome for outcome, _ in _SECTIONS}
    rest = [(number, result) for number, result in numbered if result.outcome not in shown]
    title = "Everything else" if len(rest) < len(numbered) else "The cases, one by one"
    section = tag("section", tag("h2", title, id="rest"), aria_labelledby="rest")
    for family in dict.fromkeys(result.case.family for _, result in rest):
        section.append(tag("h3", family.value))
        for number, result in rest:
            if result.case.family is family:
                section.append(folded(run, result, number))
    return section


def _foot() -> ET.Element:
    words = (
        "This page contains data that the client sent and printed while it was attacked. "
        "Share it with the same care as the client's own logs."
    )
    return tag("footer", tag("p", words))


@cache
def _style() -> str:
    page = files("certpin.lab.report").joinpath("page.css").read_text("utf-8")
    return f"{page}\n{chain_style()}"


def _policy(style: str) -> str:
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
