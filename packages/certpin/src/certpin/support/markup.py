"""Build HTML and SVG elements for the lab's report and the web pages of the monitoring service.

The lab is certpin's set of test servers. ``tag`` escapes control characters in text, and ``write``
escapes HTML.
"""

from __future__ import annotations

from importlib.resources import files
from xml.etree import ElementTree as ET

from certpin.support.text import clean

Child = ET.Element | str | None

# Lines in a square of 16 by 16.
ICON_PATHS = {
    "check": "M3 8.5 6.5 12 13 4.5",
    "cross": "M4 4 12 12M12 4 4 12",
    "warning": "M8 2.5 14.5 13.5H1.5ZM8 6.5V9.5M8 11.4V11.6",
    "question": "M5.5 6A2.5 2.5 0 1 1 8 8.7V10M8 12.4V12.6",
    "dash": "M3.5 8H12.5",
    "scales": "M3 5H13M8 2.5V13.5M5 13.5H11",
    "pin": "M8 14.5V9.5M4.5 9.5H11.5L10 6.5V2.5H6V6.5Z",
    "anchor": "M8 5V14M8 5A1.5 1.5 0 1 0 8 2A1.5 1.5 0 1 0 8 5M3 9A5 5 0 0 0 13 9",
}


def tag(name: str, /, *children: Child, **attributes: str) -> ET.Element:
    """Make an HTML or SVG element with children: elements, or texts. ``None`` is left out.

    ``name`` is the name of the element, such as ``div``. ``attributes`` become HTML attributes:
    ``class_`` is ``class``, ``aria_label`` is ``aria-label``.
    """
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


def write(element: ET.Element) -> str:
    """Return an element as HTML text."""
    return ET.tostring(element, encoding="unicode", method="html")


def icon(name: str, size: int = 16) -> ET.Element:
    """Make an SVG icon of ``size`` pixels. ``name`` is a key of ``ICON_PATHS``, such as ``check``.

    The icon is hidden from screen readers, because the text beside it has the same meaning.
    """
    box = str(size)
    line = tag("path", d=ICON_PATHS[name], class_="line")
    return tag(
        "svg", line, class_="icon", width=box, height=box, viewBox="0 0 16 16", aria_hidden="true"
    )


def chain_style() -> str:
    """Return the CSS for pictures of certificate chains.

    The CSS uses variables for colours. The page that includes the CSS must define them.
    """
    return files("certpin.support").joinpath("chain.css").read_text("utf-8")
