"""Small pictures beside words that say the same: no meaning hangs on a colour, or on a picture."""

from __future__ import annotations

from functools import cache

from markupsafe import Markup

from certpin.support.markup import ICON_PATHS, tag, write

# Lines in a square of 16 by 16, beside those of the lab's report.
_MORE = {
    "arrow": "M3 8H13M9 4 13 8 9 12",
    "bars": "M3 13.5V8.5M8 13.5V2.5M13 13.5V6",
    "bell": "M4 11.5V7A4 4 0 0 1 12 7V11.5L13.5 12.5H2.5ZM6.7 14.6H9.3",
    "clock": "M8 4.5V8L10.5 9.5M8 1.8A6.2 6.2 0 1 0 8 14.2A6.2 6.2 0 1 0 8 1.8",
    "grid": "M2.5 2.5h4v4h-4ZM9.5 2.5h4v4h-4ZM2.5 9.5h4v4h-4ZM9.5 9.5h4v4h-4Z",
    "half": "M8 1.8A6.2 6.2 0 1 0 8 14.2A6.2 6.2 0 1 0 8 1.8V14.2M10.5 3.2V12.8M12.7 5V11",
    "info": "M8 7.5V11.5M8 4.6V4.8M8 1.8A6.2 6.2 0 1 0 8 14.2A6.2 6.2 0 1 0 8 1.8",
    "mute": "M4 11.5V7A4 4 0 0 1 12 7V11.5L13.5 12.5H2.5ZM2 2 14 14",
    "pulse": "M1.5 8H4.5L6.5 3 9.5 13 11.5 8H14.5",
    "stack": "M8 2 14 5 8 8 2 5ZM2 8 8 11 14 8M2 11 8 14 14 11",
}


@cache
def icon(name: str, size: int = 16) -> Markup:
    """A picture; hidden from screen readers, which have the words."""
    box = str(size)
    line = tag("path", d=(ICON_PATHS | _MORE)[name], class_="line")
    drawn = tag(
        "svg", line, class_="icon", width=box, height=box, viewBox="0 0 16 16", aria_hidden="true"
    )
    return Markup(write(drawn))  # noqa: S704  # made of constants alone
