"""The top of the page: the result in words and numbers, and whether the control passed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lab.attacks import CONTROL
from certpin.lab.pki import LETTERS
from certpin.lab.report.command import shown
from certpin.lab.report.page.markup import badge, facts
from certpin.lab.report.tally import exit_code, tally
from certpin.lab.report.words import OUTCOMES, STYLES, details, headline
from certpin.lab.verdict import Outcome
from certpin.support.markup import icon, tag

if TYPE_CHECKING:
    from xml.etree import ElementTree as ET

    from certpin.lab.runner import Run

_OF_EXIT = {0: ("check", "sound"), 1: ("cross", "broken"), 3: ("question", "unproven")}


def top(run: Run) -> ET.Element:
    """Return the first screen of the page."""
    sign, kind = _OF_EXIT[exit_code(run)]
    return tag(
        "header",
        tag("p", f"Does the client of {run.host} refuse a man in the middle?", class_="eyebrow"),
        tag("div", icon(sign, 40), tag("h1", headline(run)), class_=f"verdict {kind}"),
        tag("ul", *(tag("li", line) for line in details(run)), class_="sentences"),
        _numbers(run),
        class_="top",
    )


def _numbers(run: Run) -> ET.Element:
    counted = tally(run)
    stopped = counted.attacks - counted.got_through
    accepted = counted.honest - counted.refused
    tiles = [
        (f"{stopped} of {counted.attacks}", "attacks stopped", counted.got_through > 0),
        (f"{accepted} of {counted.honest}", "honest servers accepted", counted.refused > 0),
        (str(counted.warnings), "warnings", False),
        (str(counted.undecided), "undecided", False),
        (str(counted.not_run), "not run", False),
    ]
    return tag(
        "ul", *(_tile(number, words, bad=bad) for number, words, bad in tiles), class_="tiles"
    )


def _tile(number: str, words: str, *, bad: bool) -> ET.Element:
    figure = tag("strong", icon("cross", 20) if bad else None, number)
    return tag("li", figure, tag("span", words), class_="bad" if bad else "")


def controls(run: Run) -> ET.Element:
    """Whether the honest server was accepted, before and after everything else."""
    held = [each for each in run.results if each.case is CONTROL]
    listed = tag("ul", class_="controls")
    for when, result in zip(("before", "after"), held, strict=False):
        words = "accepted" if result.outcome is Outcome.RIGHT else OUTCOMES[result.outcome]
        shown_why = f"{when} the attacks: {result.why}"
        listed.append(tag("li", badge(result.outcome, words), tag("span", shown_why)))
    why = (
        "A client that refuses everything stops every attack, too. So the honest server is "
        "called first and last, and the verdicts count only where the client accepts it."
    )
    title = tag("h2", "The controls", id="controls")
    return tag("section", title, tag("p", why), listed, aria_labelledby="controls")


def letters() -> ET.Element:
    """The meaning of the letters in the descriptions of the cases."""
    listed = facts(dict(LETTERS))
    listed.attrib["class"] += " letters"
    title = tag("h2", "The letters", id="letters")
    why = "The cases name certificates by letters; R→I→L is a chain that ends with the server's."
    return tag("section", title, tag("p", why), listed, aria_labelledby="letters")


def about(run: Run) -> ET.Element:
    """Return the client, the host and the versions of the tools."""
    known = run.about
    command = " ".join(shown(known.command))
    listed = facts(
        {
            "Host": run.host,
            "The client has": STYLES[run.style],
            "Command": tag("code", command) if command else None,
            "Started": f"{known.started:%Y-%m-%d %H:%M:%S} {known.started:%Z}"
            if known.started
            else None,
            "Took": f"{known.seconds:.1f} seconds",
            "Made with": ", ".join(
                filter(
                    None,
                    (
                        known.certpin and f"certpin {known.certpin}",
                        known.python and f"Python {known.python}",
                        known.openssl,
                    ),
                )
            ),
        }
    )
    title = tag("h2", "About this run", id="about")
    return tag("section", title, listed, aria_labelledby="about")
