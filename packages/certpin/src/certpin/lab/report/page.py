"""The parts of the HTML report: lists and tables, the summary, and a case with its evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lab.attacks import CONTROL
from certpin.lab.pki import LETTERS
from certpin.lab.report.picture import draw_chain
from certpin.lab.report.scenes import chain_context, requested_host, served
from certpin.lab.report.words import (
    EXPECTED,
    OUTCOMES,
    STYLES,
    details,
    ending,
    exit_code,
    headline,
    safe_arguments,
    server,
    tally,
    verdict_line,
)
from certpin.lab.verdict import Outcome, Verdict
from certpin.support.markup import Child, icon, tag
from certpin.support.text import readable
from certpin.x509.chain import read_facts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from xml.etree import ElementTree as ET

    from certpin.lab.evidence import Attempt, Connection
    from certpin.lab.runner import Result, Run
    from certpin.support.markup import Child
    from certpin.x509.chain import CertificateFacts


OF_OUTCOME = {
    Outcome.RIGHT: "check",
    Outcome.WRONG: "cross",
    Outcome.WARNING: "warning",
    Outcome.TOLD: "scales",
    Outcome.UNDECIDED: "question",
    Outcome.NOT_RUN: "dash",
}


def facts(pairs: dict[str, Child]) -> ET.Element:
    """Return an HTML list of names and values. Names with an empty value are left out."""
    listed = tag("dl", class_="facts")
    for name, value in pairs.items():
        if value is not None and value != "":
            listed.append(tag("div", tag("dt", name), tag("dd", value)))
    return listed


def table(caption: str, head: tuple[str, ...], rows: list[tuple[Child, ...]]) -> ET.Element:
    """Return an HTML table that scrolls on narrow screens. Its first column has row headers."""
    body = tag("tbody")
    for first, *others in rows:
        body.append(tag("tr", tag("th", first, scope="row"), *(tag("td", c) for c in others)))
    header = tag("thead", tag("tr", *(tag("th", name, scope="col") for name in head)))
    whole = tag("table", tag("caption", caption), header, body)
    return tag("div", whole, class_="scroll", role="region", aria_label=caption, tabindex="0")


def badge(outcome: Outcome, words: str) -> ET.Element:
    """Return the outcome of a case as HTML: an icon and a word."""
    return tag("span", icon(OF_OUTCOME[outcome]), words, class_=f"badge {css_class(outcome)}")


def css_class(outcome: Outcome) -> str:
    """Return the CSS class for the outcome of a case."""
    return outcome.value.replace(" ", "-")


_TO_MEND = {Outcome.WRONG, Outcome.WARNING, Outcome.UNDECIDED}


def finding(run: Run, result: Result, index: int) -> ET.Element:
    """Return a case that needs attention as an HTML article, with all details."""
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
    """Return a case that needs no attention as HTML that the reader can expand."""
    description = result.why if result.outcome is Outcome.NOT_RUN else result.case.presents
    summary = tag(
        "summary",
        tag("span", result.case.name, class_="name"),
        badge(result.outcome, OUTCOMES[result.outcome]),
        tag("span", description, class_="presents"),
    )
    inside = tag("div", *body(run, result, index), class_="case")
    return tag("details", summary, inside, id=f"case-{index}", class_="folded")


def body(run: Run, result: Result, index: int) -> list[ET.Element]:
    """Return the HTML of a case below its name: verdict, advice, chains and evidence."""
    line = verdict_line(result)
    parts = [tag("p", f"{line[0].upper()}{line[1:]}.", class_="lead")]
    if result.outcome in _TO_MEND:
        parts.append(_advice(result))
    pictures = chains(run, result, f"case-{index}")
    drawn = tag("div", *pictures, class_="pictures") if pictures else None
    parts.append(tag("div", drawn, _words(result), class_="evidence"))
    return parts


def _advice(result: Result) -> ET.Element:
    case = result.case
    return tag(
        "div",
        tag("h4", "Fix"),
        tag("p", f"{case.fix[:1].upper()}{case.fix[1:]}."),
        tag("p", f"See {case.reference}.", class_="quiet") if case.reference else None,
        class_="advice",
    )


def _words(result: Result) -> ET.Element:
    case = result.case
    tries = len(result.attempts)
    known = facts(
        {
            "Served": case.presents,
            "Expected": f"a client like this {EXPECTED[result.expect]}",
            "Evidence": result.why,
            "Checks": case.guards,
            "Tried": f"{tries} times" if tries > 1 else None,
        }
    )
    return tag("div", known, *_seen(result), class_="words")


def _seen(result: Result) -> list[ET.Element]:
    if not result.attempts:
        return []
    last = result.attempts[-1]
    # Data sent to an honest server is private.
    leaked = list(leaks(result)) if result.outcome in _TO_MEND else []
    parts = [tag("h4", "What leaked"), *leaked] if leaked else []
    parts += [tag("h4", "How the client ended"), *client_end(last)]
    return [*parts, connections(last)]


_PICTURES = 4  # chains of one case that are drawn
_SHOWN = 2 * 1024  # bytes of leaked data, and characters of the output of a client


def chains(run: Run, result: Result, name: str) -> list[ET.Element]:
    """Return a picture of each chain that the case served, attackers' chains first."""
    if not result.attempts:
        return []
    attempt = result.attempts[-1]
    met: dict[tuple[object, ...], Connection] = {}
    for seen in attempt.connections:
        if served(seen):
            met.setdefault((served(seen), requested_host(attempt, seen)), seen)
    attackers_first = sorted(met.values(), key=lambda seen: not seen.exposed)
    return [
        _figure(run, result, attempt, seen, f"{name}-{number}")
        for number, seen in enumerate(attackers_first[:_PICTURES])
    ]


def _figure(run: Run, result: Result, attempt: Attempt, seen: Connection, name: str) -> ET.Element:
    chain = served(seen)
    picture = draw_chain(chain, chain_context(run, result, attempt, seen), name)
    caption = f"Presented by the {server(seen)} for {requested_host(attempt, seen)}"
    return tag(
        "figure",
        tag("figcaption", caption),
        picture,
        tag("details", tag("summary", "The certificates in full"), *map(_certificate, chain)),
    )


def _certificate(der: bytes) -> ET.Element:
    known = read_facts(der)
    return facts(
        {
            "Subject": known.subject or "unreadable",
            "Issuer": known.issuer,
            "Names": ", ".join(known.names or ()),
            "Valid": _validity(known),
            "Key": known.key,
            "Pin": tag("code", known.pin) if known.pin else None,
            "SHA-256": tag("code", known.sha256),
        }
    )


def _validity(known: CertificateFacts) -> str:
    if not known.not_before or not known.not_after:
        return ""
    return f"{known.not_before:%Y-%m-%d} to {known.not_after:%Y-%m-%d}"


def leaks(result: Result) -> Iterator[ET.Element]:
    """Yield the HTML of the data that the client leaked, unless it refused the attack."""
    if not result.attempts or result.verdict is Verdict.REJECT:
        return
    attempt = result.attempts[-1]
    for number, seen in enumerate(attempt.connections, 1):
        if not seen.exposed:
            continue
        secured = seen.astray if seen.step and seen.step.foreign else seen.data
        for data, how in ((seen.clear, "in clear text"), (secured, "under TLS")):
            if data:
                words = f"{len(data)} bytes on connection {number}, {how}"
                yield tag("p", words)
                yield tag("pre", *_marked(data, attempt.canary), tabindex="0", aria_label=words)


def _marked(data: bytes, canary: str) -> list[Child]:
    """Return the leaked data with the canary marked, shortened if it is long."""
    text = readable(data[:_SHOWN])
    before, found, after = text.partition(canary) if canary else (text, "", "")
    more = len(data) - _SHOWN
    cut = f"\n… and {more} bytes more" if more > 0 else None
    return [before, tag("mark", found) if found else None, after.rstrip("\n"), cut]


def connections(attempt: Attempt) -> ET.Element:
    """Return an HTML table of the connections of an attempt, in order."""
    if not attempt.connections:
        return tag("p", "The client made no connection.")
    rows = [_row(number, attempt, seen) for number, seen in enumerate(attempt.connections[:50], 1)]
    head = ("No.", "Server", "Asked for", "TLS", "Ended by", "Client data")
    return table("Connections that the lab saw", head, rows)


def _row(number: int, attempt: Attempt, seen: Connection) -> tuple[Child, ...]:
    tls = [seen.version or "not finished", seen.alpn, "resumed" if seen.resumed else ""]
    if seen.client_certificate:
        given = read_facts(seen.client_certificate).subject or "unreadable"
        tls.append(f"client certificate {given}")
    return (
        str(number),
        server(seen) or "none",
        requested_host(attempt, seen),
        ", ".join(filter(None, tls)),
        f"alert {seen.alert}" if seen.alert else seen.problem or "closing",
        _received(seen),
    )


def _received(seen: Connection) -> str:
    """Return how many bytes the client sent on a connection, and how many of them leaked."""
    total, given = len(seen.clear) + len(seen.data), len(seen.said) if seen.exposed else 0
    if not given:
        return f"{total} bytes"
    return f"{total} bytes, {given if given < total else 'all'} given away"


def client_end(attempt: Attempt) -> Iterator[ET.Element]:
    """Yield the HTML that says how the client ended, with the last part of its output."""
    yield tag("p", f"{ending(attempt.ending)}.")
    if attempt.ending.output.strip():
        shown = attempt.ending.output[-_SHOWN:]
        words = "the end of its output"
        yield tag("pre", shown, tabindex="0", aria_label=words)


_OF_EXIT = {0: ("check", "sound"), 1: ("cross", "broken"), 3: ("question", "unproven")}


def top(run: Run) -> ET.Element:
    """Return the top of the page: the result of the run in one sentence, and its numbers."""
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
    """Show whether the honest server was accepted before and after the cases."""
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


def letters() -> ET.Element:
    """Return a section that explains the letters for certificates (R, I, L) in the cases."""
    listed = facts(dict(LETTERS))
    listed.attrib["class"] += " letters"
    title = tag("h2", "The letters", id="letters")
    why = "The cases name certificates by letters; R→I→L is a chain that ends with the server's."
    return tag("section", title, tag("p", why), listed, aria_labelledby="letters")


def about(run: Run) -> ET.Element:
    """Return a section on the run: the client, the host, and the versions of the tools."""
    known = run.about
    command = " ".join(safe_arguments(known.command))
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
