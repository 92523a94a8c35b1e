"""Elements of a page. Text only ever enters here, and is escaped when the page is written."""

from __future__ import annotations

from xml.etree import ElementTree as ET  # it only writes here

from certpin.lab.report.text import clean

Child = ET.Element | str | None


def tag(name: str, /, *children: Child, **attributes: str) -> ET.Element:
    """An element. ``class_`` and ``aria_label`` are written as HTML writes them."""
    named = {key.strip("_").replace("_", "-"): clean(text) for key, text in attributes.items()}
    element = ET.Element(name, named)
    for child in children:
        _append(element, child)
    return element


def _append(element: ET.Element, child: Child) -> None:
    if isinstance(child, ET.Element):
        element.append(child)
    elif child and len(element):
        element[-1].tail = (element[-1].tail or "") + clean(child)
    elif child:
        element.text = (element.text or "") + clean(child)


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


def write(element: ET.Element) -> str:
    """The element as HTML."""
    return ET.tostring(element, encoding="unicode", method="html")
