"""One case on the page: what happened, the evidence, the advice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lab.report.page import evidence
from certpin.lab.report.page.icons import badge, css_class
from certpin.lab.report.page.markup import facts, tag
from certpin.lab.report.words import EXPECTED, OUTCOMES, verdict_line
from certpin.lab.verdict import Outcome

if TYPE_CHECKING:
    from xml.etree import ElementTree as ET

    from certpin.lab.runner import Result, Run

_TO_MEND = {Outcome.WRONG, Outcome.WARNING, Outcome.UNDECIDED}


def finding(run: Run, result: Result, index: int) -> ET.Element:
    """A case that needs somebody's attention, open."""
    title = tag("h3", result.case.name, id=f"case-{index}-title")
    return tag(
        "article",
        tag("header", title, badge(result.outcome, OUTCOMES[result.outcome])),
        *body(run, result, index),
        class_=f"case {css_class(result.outcome)}",
        id=f"case-{index}",
        aria_labelledby=f"case-{index}-title",
    )


def folded(run: Run, result: Result, index: int) -> ET.Element:
    """A case that went as it should, closed."""
    told = result.why if result.outcome is Outcome.NOT_RUN else result.case.presents
    summary = tag(
        "summary",
        tag("span", result.case.name, class_="name"),
        badge(result.outcome, OUTCOMES[result.outcome]),
        tag("span", told, class_="presents"),
    )
    inside = tag("div", *body(run, result, index), class_="case")
    return tag("details", summary, inside, id=f"case-{index}", class_="folded")


def body(run: Run, result: Result, index: int) -> list[ET.Element]:
    """Everything below the name of a case."""
    line = verdict_line(result)
    parts = [tag("p", f"{line[0].upper()}{line[1:]}.", class_="lead")]
    if result.outcome in _TO_MEND:
        parts.append(_advice(result))
    pictures = evidence.chains(run, result, f"case-{index}")
    drawn = tag("div", *pictures, class_="pictures") if pictures else None
    parts.append(tag("div", drawn, _words(result), class_="evidence"))
    return parts


def _advice(result: Result) -> ET.Element:
    case = result.case
    return tag(
        "div",
        tag("h4", "How to mend it"),
        tag("p", f"{case.fix[:1].upper()}{case.fix[1:]}."),
        tag("p", f"See {case.reference}.", class_="quiet") if case.reference else None,
        class_="advice",
    )


def _words(result: Result) -> ET.Element:
    case = result.case
    tries = len(result.attempts)
    known = facts(
        {
            "What it met": case.presents,
            "What is right": f"a client like this {EXPECTED[result.expect]}",
            "How it shows": result.why,
            "What this guards": case.guards,
            "Tried": f"{tries} times" if tries > 1 else None,
        }
    )
    return tag("div", known, *_seen(result), class_="words")


def _seen(result: Result) -> list[ET.Element]:
    if not result.attempts:
        return []
    last = result.attempts[-1]
    # What an honest server was sent is nobody's business but its own.
    leaked = list(evidence.leaks(result)) if result.outcome in _TO_MEND else []
    parts = [tag("h4", "What leaked"), *leaked] if leaked else []
    parts += [tag("h4", "How the client ended"), *evidence.client_end(last)]
    return [*parts, evidence.connections(last)]
