"""Parts of the report's page: lists, tables and outcomes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lab.verdict import Outcome
from certpin.support.markup import Child, icon, tag

if TYPE_CHECKING:
    from xml.etree import ElementTree as ET

OF_OUTCOME = {
    Outcome.RIGHT: "check",
    Outcome.WRONG: "cross",
    Outcome.WARNING: "warning",
    Outcome.TOLD: "scales",
    Outcome.UNDECIDED: "question",
    Outcome.NOT_RUN: "dash",
}


def facts(pairs: dict[str, Child]) -> ET.Element:
    """A list of names and values; those without a value are left out."""
    listed = tag("dl", class_="facts")
    for name, value in pairs.items():
        if value is not None and value != "":
            listed.append(tag("div", tag("dt", name), tag("dd", value)))
    return listed


def table(caption: str, head: tuple[str, ...], rows: list[tuple[Child, ...]]) -> ET.Element:
    """A table that scrolls by itself where the page is narrow. The first column names the row."""
    body = tag("tbody")
    for first, *others in rows:
        body.append(tag("tr", tag("th", first, scope="row"), *(tag("td", c) for c in others)))
    header = tag("thead", tag("tr", *(tag("th", name, scope="col") for name in head)))
    whole = tag("table", tag("caption", caption), header, body)
    return tag("div", whole, class_="scroll", role="region", aria_label=caption, tabindex="0")


def badge(outcome: Outcome, words: str) -> ET.Element:
    """Return an outcome as an icon and a word."""
    return tag("span", icon(OF_OUTCOME[outcome]), words, class_=f"badge {css_class(outcome)}")


def css_class(outcome: Outcome) -> str:
    """Return the CSS class of an outcome."""
    return outcome.value.replace(" ", "-")
