"""Where a key stands: found only when something is wrong with it, for the error's sake."""

from __future__ import annotations

import re

_HEADER = re.compile(r"\s*\[{1,2}\s*([^\[\]#]+?)\s*\]{1,2}")
_SPELLING = re.compile(r"[\s\"']")
_STEP = re.compile(r"([A-Za-z0-9_-]+)(?:\[(\d+)\])?")


def line_of(text: str, key: str) -> int | None:
    """The line (from 1) of a key such as ``host[2].pin[0].role``, or of the table it belongs to.

    Inline tables stand on the line of their table. ``None`` if nothing of it is found.
    """
    steps = [(name, int(index or 0)) for name, index in _STEP.findall(key)]
    lines = text.split("\n")
    start, depth = _table(lines, steps)
    wanted = steps[depth][0] if depth < len(steps) else ""
    for number in range(start, len(lines)):
        if _HEADER.match(lines[number]):
            break
        if wanted and re.match(rf"\s*[\"']?{re.escape(wanted)}[\"']?\s*[.=]", lines[number]):
            return number + 1
    return start or None


def _table(lines: list[str], steps: list[tuple[str, int]]) -> tuple[int, int]:
    """The line after the header of the deepest table on the way, and how many steps it took."""
    start, depth = 0, 0
    while depth < len(steps):
        name = ".".join(step for step, _ in steps[: depth + 1])
        found = _nth_header(lines, start, name, steps[depth][1])
        if found is None:
            break
        start, depth = found, depth + 1
    return start, depth


def _nth_header(lines: list[str], start: int, name: str, index: int) -> int | None:
    parent = name.rpartition(".")[0]
    for number in range(start, len(lines)):
        header = _HEADER.match(lines[number])
        if not header:
            continue
        found = _SPELLING.sub("", header[1])
        if parent and found == parent:
            return None  # the next of the parent's tables begins
        if found == name:
            if index == 0:
                return number + 1
            index -= 1
    return None
