"""Draw docs/start/decide.svg: the rules of ``certpin decide``, one below the other."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from certpin.advice import AdviceRule, load_advice
from certpin.support.markup import tag, write

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

TARGET = Path(__file__).parent.parent / "docs/start/decide.svg"

# In pixels.
_WIDTH = 760
_TOP, _ROW, _BOX = 16, 58, 44
_LEFT, _QUESTION = 16, 520
_RIGHT, _ANSWER = 584, 160

_INK, _QUIET, _LINE = "#1f2328", "#57606a", "#8c959f"
_COLOURS = {
    "dont-pin": "#d8dee4",
    "private-ca": "#d8c4f1",
    "provider-roots": "#ffe08a",
    "own-key": "#a3cfbb",
    "attestation": "#9ec5fe",
}


def draw() -> str:
    """Return an SVG of the rules of ``certpin decide``: a row has conditions and their advice."""
    rules = load_advice().rules
    height = _TOP + len(rules) * _ROW
    rows = [_row(rule, number, last=rule is rules[-1]) for number, rule in enumerate(rules)]
    picture = tag(
        "svg",
        tag("rect", width=str(_WIDTH), height=str(height), rx="6", fill="#ffffff"),
        *(element for row in rows for element in row),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {_WIDTH} {height}",
        role="img",
        aria_label="The rules of certpin decide: the first one that holds decides",
        font_family="system-ui, sans-serif",
        font_size="14",
        fill=_INK,
    )
    return write(picture) + "\n"


def conditions(rule: AdviceRule) -> str:
    """Return the conditions of a rule as options of ``certpin decide``: ``--NAME VALUE|VALUE``."""
    return "  ".join(f"--{name} {'|'.join(values)}" for name, values in rule.when.items())


def _row(rule: AdviceRule, number: int, *, last: bool) -> list[Element]:
    top = _TOP + number * _ROW
    middle, bottom = top + _BOX // 2, top + _BOX
    centre = _RIGHT + _ANSWER // 2
    elements = [
        _box(_LEFT, top, _QUESTION, "#f6f8fa"),
        _text(_LEFT + 12, top + 19, rule.title),
        _text(_LEFT + 12, top + 36, conditions(rule) or "otherwise", size="11.5", fill=_QUIET),
        _arrow(f"M{_LEFT + _QUESTION} {middle} H{_RIGHT - 4} m-6 -5 l6 5 l-6 5"),
        _box(_RIGHT, top, _ANSWER, _COLOURS[rule.answer.name]),
        _text(centre, middle + 5, rule.answer.short, anchor="middle"),
    ]
    if not last:
        elements.append(_arrow(f"M{_LEFT + 24} {bottom} V{bottom + 13} m-5 -6 l5 6 l5 -6"))
        elements.append(_text(_LEFT + 36, bottom + 11, "no", size="11.5", fill=_QUIET))
    return elements


def _box(left: int, top: int, width: int, fill: str) -> Element:
    return tag(
        "rect", x=str(left), y=str(top), width=str(width), height=str(_BOX), rx="4", fill=fill
    )


def _text(
    left: int, base: int, text: str, *, size: str = "14", fill: str = _INK, anchor: str = "start"
) -> Element:
    place = {"x": str(left), "y": str(base), "font_size": size, "fill": fill}
    return tag("text", text, **place, text_anchor=anchor)


def _arrow(path: str) -> Element:
    return tag("path", d=path, fill="none", stroke=_LINE)


if __name__ == "__main__":
    TARGET.write_text(draw(), encoding="utf-8")
    sys.stdout.write(f"{TARGET.name}: drawn\n")
