"""Draw the output of a terminal as an animated SVG, in which each line appears at its time.

Without animation, the picture shows all lines: for readers who prefer less motion, and in programs
that ignore CSS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rich.cells import cell_len
from rich.color import Color
from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI, TerminalTheme
from rich.text import Text

from certpin.support.markup import tag, write

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from xml.etree.ElementTree import Element

    from rich.style import Style

_SIZE = 14  # pixels
_WIDTH, _HEIGHT = 8.4, 19  # of a character, in pixels
_MARGIN, _TITLE_BAR = 16, 36
_BACKGROUND, _FOREGROUND = "#16181d", "#d7dae0"
_FONTS = "ui-monospace, 'SFMono-Regular', Menlo, Consolas, 'DejaVu Sans Mono', monospace"
_CSS = f"""
svg {{ font: {_SIZE}px {_FONTS}; fill: {_FOREGROUND} }}
text {{ white-space: pre }}
.line {{ animation: appear .01s both; animation-delay: var(--at) }}
@keyframes appear {{ from {{ opacity: 0 }} to {{ opacity: 1 }} }}
@media (prefers-reduced-motion: reduce) {{ .line {{ animation: none }} }}
"""
_THEME: TerminalTheme = DIMMED_MONOKAI


class Line(NamedTuple):
    """A line of terminal output: the time at which it appears, in seconds, and its text.

    The text may contain the escape sequences of colours.
    """

    at: float
    text: str


def draw(lines: Sequence[Line], columns: int, title: str) -> str:
    """Return an animated SVG of a terminal that prints these lines.

    Args:
        lines: the lines, from top to bottom; a longer one than ``columns`` is wrapped.
        columns: the width of the terminal, in characters.
        title: the text for the title bar, and for readers who can't see the picture.
    """
    rows = [Line(line.at, part) for line in lines for part in _wrapped(line.text, columns)]
    width = round(columns * _WIDTH + 2 * _MARGIN)
    height = len(rows) * _HEIGHT + _TITLE_BAR + _MARGIN
    picture = tag(
        "svg",
        tag("title", title),
        tag("style", _CSS),
        tag("rect", width=str(width), height=str(height), rx="8", fill=_BACKGROUND),
        *_buttons(),
        tag("text", title, x=str(width // 2), y="23", text_anchor="middle", opacity="0.6"),
        *(_row(row, number) for number, row in enumerate(rows)),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width} {height}",
        width=str(width),
        height=str(height),
        role="img",
    )
    return write(picture) + "\n"


def _wrapped(text: str, columns: int) -> Iterator[str]:
    """Yield the parts of a line that a terminal with this many columns shows on separate rows."""
    console = Console(color_system="truecolor", force_terminal=True, width=columns)
    ansi = Text.from_ansi(text)
    for start in range(0, max(len(ansi), 1), columns):
        with console.capture() as capture:
            console.print(ansi[start : start + columns], end="", soft_wrap=True)
        yield capture.get()


def _buttons() -> Iterator[Element]:
    for number, colour in enumerate(("#ff5f57", "#febc2e", "#28c840")):
        yield tag("circle", cx=str(_MARGIN + 6 + 20 * number), cy="18", r="6", fill=colour)


def _row(row: Line, number: int) -> Element:
    """Return the SVG group of a line.

    Each part with one style has its own position and width, so that the columns stay aligned in
    every font.
    """
    console = Console(width=1000)
    y = str(_TITLE_BAR + _HEIGHT * number + _SIZE)
    pieces, column = [], 0
    for segment in Text.from_ansi(row.text).render(console):
        width = cell_len(segment.text)
        if segment.text.strip():
            attributes = _attributes(segment.style)
            attributes |= {"textLength": f"{width * _WIDTH:.1f}", "x": _x(column), "y": y}
            pieces.append(tag("text", segment.text, **attributes))
        column += width
    return tag("g", *pieces, class_="line", style=f"--at:{row.at:.2f}s")


def _x(column: int) -> str:
    return f"{_MARGIN + column * _WIDTH:.1f}"


def _attributes(style: Style | None) -> dict[str, str]:
    if style is None:
        return {}
    found = {}
    if isinstance(style.color, Color) and not style.color.is_default:
        found["fill"] = style.color.get_truecolor(_THEME).hex
    if style.bold:
        found["font-weight"] = "bold"
    if style.dim:
        found["opacity"] = "0.6"
    return found
