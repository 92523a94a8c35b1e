"""Functions that write Markdown for the generated pages: text, code, tables and anchors."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

# In a text for the terminal, these are code: `quoted`, --option, A_VARIABLE, {placeholder}.
_CODE = re.compile(r"(`[^`\n]+`|(?<![\w-])--[a-z][\w-]*|\b[A-Z]+(?:_[A-Z0-9]+)+\b|\{[\w:]+\})")

_GENERATED = re.compile(r"(?m)^<!-- generated: (.*) -->$")


def plain(text: str) -> str:
    """Return ``text`` with a backslash before each character that Markdown reads as markup."""
    for mark in ("\\", "*", "_", "<", "`", "[", "|"):
        text = text.replace(mark, f"\\{mark}")
    return text


def prose(text: str) -> str:
    """Convert a text for a terminal to Markdown.

    Text in backquotes, options, environment variables and placeholders become code.
    """
    parts = _CODE.split(text)
    return "".join(
        code(part.strip("`")) if index % 2 else plain(part) for index, part in enumerate(parts)
    )


def code(text: str) -> str:
    """Return ``text`` as inline code that is also safe in a cell of a table."""
    escaped = text.replace("|", "\\|")
    return f"`` {escaped} ``" if "`" in text else f"`{escaped}`"


def block(text: str, language: str) -> str:
    """Return ``text`` as a fenced code block in this language."""
    longest = max((len(run) for run in re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text.strip(chr(10))}\n{fence}"


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table with a row of titles; the cells must be Markdown already."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def fill(text: str, parts: Mapping[str, str]) -> str:
    """Replace each ``<!-- generated: NAME -->`` line of hand-written Markdown with ``parts[NAME]``.

    Raises:
        ValueError: a line has a NAME that is not in ``parts``, or a part has no line or several.
    """
    named = _GENERATED.findall(text)
    if sorted(named) != sorted(parts):
        raise ValueError(f"the text has the parts {named}, and not {list(parts)}")
    return _GENERATED.sub(lambda found: parts[found[1]], text)


def anchor(title: str) -> str:
    """Return the anchor of a heading, as GitHub and the site generate it."""
    shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).replace("\\", "").lower()
    return re.sub(r"[^\w\- ]", "", shown).strip().replace(" ", "-")


def page(title: str, *parts: str) -> str:
    """Return a Markdown page: the title as a heading, and the parts that are not empty."""
    return "\n\n".join([f"# {title}", *(part.strip("\n") for part in parts if part)]) + "\n"
