"""The report of a lab run as one HTML page, without scripts and external resources.

The page is built as a tree of elements by the standard library's ElementTree, which escapes all
text when it writes. There is no template into which a hostile string could be inserted unescaped.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from certpin.lab.case import CONTROL
from certpin.lab.pki import LETTERS
from certpin.lab.report.causes import find_causes, proof_line
from certpin.lab.report.html_case import badge, facts_list, finding, fix_box, folded, scroll_table
from certpin.lab.report.masking import safe_arguments
from certpin.lab.report.mastg import CONTROLS, TESTS, reference
from certpin.lab.report.words import (
    EXPECTED,
    LIMITS,
    OUTCOMES,
    STYLES,
    advice,
    details,
    exit_code,
    family_of,
    headline,
    only_reported,
    tally,
    tls_versions,
    ways,
)
from certpin.lab.verdict import WAYS, Outcome
from certpin.support.markup import chain_style, icon, tag, write
from certpin.support.text import counted

if TYPE_CHECKING:
    from xml.etree import ElementTree as ET

    from certpin.lab.report.causes import Cause
    from certpin.lab.runner import Result, Run
    from certpin.support.markup import Child


_Numbered = list[tuple[int, "Result"]]
_SECTIONS = ((Outcome.WARNING, "Warnings"), (Outcome.UNDECIDED, "Undecided cases"))


def to_html(run: Run, facts: dict[str, Any] | None = None) -> str:
    """Return the report of a lab run as an HTML page. All strings of the run are escaped.

    Args:
        run: the run.
        facts: the digests, versions and machine from ``certpin.lab.evidence.facts``, for a page
            that is evidence for an auditor; None for other pages.
    """
    style = _style()
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_policy(style)),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("meta", name="robots", content="noindex"),
        tag("title", f"{headline(run)}: {run.host}"),
    )
    sheet = tag("style")
    sheet.text = style
    head.append(sheet)
    page = tag("html", head, tag("body", _main(run, facts), _foot()), lang="en")
    return f"<!DOCTYPE html>\n{write(page)}\n"


def _main(run: Run, facts: dict[str, Any] | None) -> ET.Element:
    numbered = list(enumerate(run.results))
    parts = [_top(run), _controls(run), _letters()]
    causes = find_causes(run.results)
    if causes:
        numbers = {id(result): number for number, result in numbered}
        title = tag("h2", "What must be fixed", id="section-wrong")
        found = [_cause(run, cause, number, numbers) for number, cause in enumerate(causes, 1)]
        parts.append(tag("section", title, *found, aria_labelledby="section-wrong"))
    for outcome, words in _SECTIONS:
        chosen = [(n, result) for n, result in numbered if result.outcome is outcome]
        if chosen:
            cases = [finding(run, result, number) for number, result in chosen]
            heading = tag("h2", words, id=f"section-{outcome.value}")
            parts.append(
                tag("section", heading, *cases, aria_labelledby=f"section-{outcome.value}")
            )
    parts += [_overview(numbered), _rest(run, numbered), _standards(run), _limits()]
    parts.append(_about(run, facts))
    return tag("main", *parts)


def _cause(run: Run, cause: Cause, number: int, numbers: dict[int, int]) -> ET.Element:
    """Return the section on a cause: its fix, its first case in full, its other cases collapsed.

    Args:
        run: the lab run.
        cause: one mistake of the client, with the cases that it explains.
        number: the number of the cause in the report.
        numbers: the number of each result in the run, by the ``id()`` of the result.
    """
    first, *others = cause.results
    section = tag(
        "section",
        tag("h3", f"{number}. {cause.title}", id=f"cause-{number}"),
        tag("p", f"It explains {counted(len(cause.results), 'case')}.", class_="quiet"),
        tag("p", f"Proof: {proof_line(cause)}.", class_="quiet"),
        fix_box(cause.fix),
        _languages(cause),
        finding(run, first, numbers[id(first)], level="h4"),
        aria_labelledby=f"cause-{number}",
        class_="cause",
    )
    for result in others:
        section.append(folded(run, result, numbers[id(result)]))
    return section


def _languages(cause: Cause) -> ET.Element | None:
    """Return a cause's fix in each programming language, as a collapsed HTML element.

    Return None if the cause has no such fixes, because its findings fit no known pattern.
    """
    if not cause.fixes:
        return None
    listed = facts_list({language: f"{words}." for language, words in cause.fixes.items()})
    return tag("details", tag("summary", "The fix in each language"), listed, class_="printed")


_UNPROVEN = ("question", "unproven")
_OF_EXIT = {0: ("check", "sound"), 1: ("cross", "broken"), 3: _UNPROVEN}


def _top(run: Run) -> ET.Element:
    """Return the top of the page: the result of the run in one sentence, and numbers of cases."""
    sign, kind = _UNPROVEN if only_reported(run) else _OF_EXIT[exit_code(run)]
    return tag(
        "header",
        tag("p", f"Does the client of {run.host} refuse a man in the middle?", class_="eyebrow"),
        tag("div", icon(sign, 40), tag("h1", headline(run)), class_=f"verdict {kind}"),
        tag("p", advice(run), class_="lead todo"),
        tag("ul", *(tag("li", line) for line in details(run)), class_="sentences"),
        _numbers(run),
        class_="top",
    )


def _numbers(run: Run) -> ET.Element:
    counts = tally(run)
    stopped = counts.attacks - counts.got_through
    accepted = counts.honest - counts.refused
    tiles = [
        (f"{stopped} of {counts.attacks}", "attacks stopped", counts.got_through > 0),
        (f"{accepted} of {counts.honest}", "honest servers accepted", counts.refused > 0),
        (str(counts.warnings), "warnings", False),
        (str(counts.undecided), "undecided", False),
        (str(counts.not_run), "not run", False),
    ]
    return tag(
        "ul", *(_tile(number, words, bad=bad) for number, words, bad in tiles), class_="tiles"
    )


def _tile(number: str, words: str, *, bad: bool) -> ET.Element:
    figure = tag("strong", icon("cross", 20) if bad else None, number)
    return tag("li", figure, tag("span", words), class_="bad" if bad else "")


def _controls(run: Run) -> ET.Element:
    """Return the section that shows if the client accepted the honest server, first and last.

    The section is needed because refusals of attacks prove nothing if the client refuses every
    server. ``run`` is the lab run.
    """
    held = [result for result in run.results if result.case is CONTROL]
    listed = tag("ul", class_="controls")
    for when, result in zip(("before", "after"), held, strict=False):
        words = "accepted" if result.outcome is Outcome.RIGHT else OUTCOMES[result.outcome]
        shown_why = f"{when} the attacks: {result.why}"
        listed.append(tag("li", badge(result.outcome, words), tag("span", shown_why)))
    why = (
        "A client that refuses every server stops every attack too. So the honest server is "
        "tested first and last, and the verdicts count only if the client accepts it."
    )
    title = tag("h2", "The controls", id="controls")
    return tag("section", title, tag("p", why), listed, aria_labelledby="controls")


def _letters() -> ET.Element:
    """Return the section that explains the letters for certificates, such as R for a root."""
    listed = facts_list(dict(LETTERS))
    listed.attrib["class"] += " letters"
    title = tag("h2", "The letters", id="letters")
    why = "The cases name certificates by letters; R→I→L is a chain that ends with the server's."
    return tag("section", title, tag("p", why), listed, aria_labelledby="letters")


def _overview(numbered: _Numbered) -> ET.Element:
    rows = [
        (
            tag("a", result.case.name, href=f"#case-{number}"),
            badge(result.outcome, OUTCOMES[result.outcome]),
            EXPECTED[result.expect],
            str(result.verdict or "-"),
            result.case.presents,
        )
        for number, result in numbered
    ]
    head = ("Case", "Outcome", "The client", "It did", "Served")
    whole = scroll_table(f"All {len(rows)} cases, in the order of the run", head, list(rows))
    title = tag("h2", "All cases", id="all")
    return tag(
        "section", title, tag("details", tag("summary", "Show the table"), whole, class_="printed")
    )


def _rest(run: Run, numbered: _Numbered) -> ET.Element:
    """Return the section with the cases that need no attention, grouped by family of cases.

    ``run`` is the lab run, and ``numbered`` has all its results, each with its number.
    """
    shown = {Outcome.WRONG, *(outcome for outcome, _ in _SECTIONS)}
    rest = [(number, result) for number, result in numbered if result.outcome not in shown]
    title = "Everything else" if len(rest) < len(numbered) else "The cases, one by one"
    section = tag("section", tag("h2", title, id="rest"), aria_labelledby="rest")
    for family in dict.fromkeys(family_of(result) for _, result in rest):
        section.append(tag("h3", family.value))
        for number, result in rest:
            if family_of(result) is family:
                section.append(folded(run, result, number))
    return section


def _standards(run: Run) -> ET.Element:
    """Return the section with the OWASP MASVS controls and MASTG tests of each case."""
    rows: list[tuple[Child, ...]] = []
    used = [reference(result.case.matrix_name, result.expect) for result in run.results]
    for number, (result, known) in enumerate(zip(run.results, used, strict=True)):
        tests = ", ".join(known.tests) or f"none: {known.why}"
        rows.append(
            (
                tag("a", result.case.name, href=f"#case-{number}"),
                badge(result.outcome, OUTCOMES[result.outcome]),
                ", ".join(known.controls) or "none",
                f"{tests}: {known.because}" if known.because else tests,
            )
        )
    named = {name for known in used for name in (*known.controls, *known.tests)}
    titles = {name: text for name, text in {**CONTROLS, **TESTS}.items() if name in named}
    why = (
        "A case supports the evaluation of these tests, and does not replace them: most of them "
        "search the code of an app for the mistake that this run looks for in its behaviour."
    )
    head = ("Case", "Outcome", "MASVS", "MASTG")
    whole = scroll_table("Controls and tests of each case", head, rows)
    return tag(
        "section",
        tag("h2", "OWASP MASVS and MASTG", id="standards"),
        tag("p", why),
        facts_list(dict(titles)),
        tag("details", tag("summary", "Show the table"), whole, class_="printed"),
        aria_labelledby="standards",
    )


def _limits() -> ET.Element:
    title = tag("h2", "What this does not prove", id="limits")
    listed = tag("ul", *(tag("li", line) for line in LIMITS), class_="sentences")
    return tag("section", title, listed, aria_labelledby="limits")


def _about(run: Run, facts: dict[str, Any] | None) -> ET.Element:
    """Return the section about the run: the client, the host, and the versions of the tools.

    ``facts`` are the facts for an auditor, which are added to the section; None for other readers.
    """
    known = run.about
    command = " ".join(safe_arguments(known.command))
    tools = (
        known.certpin and f"certpin {known.certpin}",
        known.python and f"Python {known.python}",
        known.openssl,
    )
    repeated = f"{known.repeat} times each" if known.repeat > 1 else None
    listed: dict[str, Child] = {
        "Host": run.host,
        "The client has": STYLES[run.style],
        "Command": tag("code", command) if command else None,
        "Reached the lab through": ", ".join(WAYS[way] for way in ways(run)) or None,
        "TLS": ", ".join(tls_versions(run.results)) or None,
        "Cases run": repeated,
        "Started": f"{known.started:%Y-%m-%d %H:%M:%S %Z}" if known.started else None,
        "Took": f"{known.seconds:.1f} seconds",
        "Made with": ", ".join(filter(None, tools)),
        **(_evidence(facts) if facts else {}),
    }
    title = tag("h2", "About this run", id="about")
    return tag("section", title, facts_list(listed), aria_labelledby="about")


def _evidence(facts: dict[str, Any]) -> dict[str, Child]:
    """Return the names and values that only an HTML page for an auditor shows.

    They are the version of the client, digests, the machine, and the extras of certpin. All of them
    are taken from ``facts``.
    """
    client, machine, own = facts["client"], facts["machine"], facts["certpin"]
    records = {
        True: "as in its wheel",
        False: "changed since its installation",
        None: "not from a wheel",
    }
    variables = " ".join(f"{name}={value}" for name, value in machine["environment"].items())
    programs = {
        f"SHA-256 of {file['name']}": tag("code", file["sha256"] or "unreadable")
        for file in client["files"]
    }
    return {
        "Version of the client": client["version"] or "not given (--client-version)",
        **programs,
        "Scripts of the client": None
        if client["script_identified"]
        else "none identified in the command: the digest is that of its program only",
        "System": ", ".join(filter(None, (machine["system"], machine["distribution"]))),
        "Environment": tag("code", variables) if variables else None,
        "Files of certpin": f"{records[own['matches_record']]}; SHA-256 of their list: "
        f"{own['files_sha256']}",
        "Extras of certpin": ", ".join(own["extras"]) or "none",
    }


def _foot() -> ET.Element:
    words = (
        "This page contains data that the client sent and printed while it was attacked. "
        "Share it with the same care as the client's own logs."
    )
    return tag("footer", tag("p", words))


@cache
def _style() -> str:
    page = files("certpin.lab.report").joinpath("page.css").read_text("utf-8")
    return f"{page}\n{chain_style()}"


def _policy(style: str) -> str:
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
