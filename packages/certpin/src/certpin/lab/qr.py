"""A QR code in the terminal, two rows of it in one line of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lab.errors import LabError

if TYPE_CHECKING:
    from rich.console import Group

# Both colours are said, so that it is dark on light whatever the terminal's own are.
_STYLE = "#000000 on #ffffff"
_QUIET = 4  # modules of white around it (ISO/IEC 18004 section 9.1)
_BLOCKS = {(0, 0): " ", (1, 0): "▀", (0, 1): "▄", (1, 1): "█"}


def qr_lines(text: str) -> list[str]:
    """The code of a text in half blocks: a block is dark. Raises ``LabError``."""
    try:
        import segno
    except ImportError as exc:
        fix = "pip install 'certpin[wireguard]', or copy the configuration by hand"
        raise LabError("the QR code needs the package segno", fix=fix) from exc
    code = segno.make_qr(text, error="l", boost_error=False)
    rows = [tuple(row) for row in code.matrix_iter(border=_QUIET)]
    if len(rows) % 2:
        rows.append((0,) * len(rows[0]))
    return [
        "".join(_BLOCKS[bool(above), bool(below)] for above, below in zip(*pair, strict=True))
        for pair in zip(rows[::2], rows[1::2], strict=True)
    ]


def qr_text(text: str) -> Group:
    """The same for a rich console, on terminals of any colour. Never wrapped."""
    from rich.console import Group
    from rich.text import Text

    code = Text(no_wrap=True, overflow="ignore")
    for line in qr_lines(text):
        code.append(line, _STYLE)
        code.append("\n")
    return Group(code)  # what is printed bare loses its no_wrap
