"""One case on the page: what happened, the evidence, the advice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lab.report.page.markup import badge, css_class, facts, table
from certpin.lab.report.picture import draw_chain
from certpin.lab.report.scenes import asked, scene, served
from certpin.lab.report.words import EXPECTED, OUTCOMES, ending, server, verdict_line
from certpin.lab.verdict import Outcome, Verdict
from certpin.support.markup import tag
from certpin.support.text import readable
from certpin.x509.chain import read_facts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from xml.etree import ElementTree as ET

    from certpin.lab.evidence import Attempt, Connection
    from certpin.lab.runner import Result, Run
    from certpin.support.markup import Child
    from certpin.x509.chain import CertificateFacts

_TO_MEND = {Outcome.WRONG, Outcome.WARNING, Outcome.UNDECIDED}


def finding(run: Run, result: Result, index: int) -> ET.Element:
    """Return an expanded case that needs attention."""
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
    """Return a collapsed case that needs no attention."""
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
    """Return everything below the name of a case."""
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
    # Data sent to an honest server is private, and not shown.
    leaked = list(leaks(result)) if result.outcome in _TO_MEND else []
    parts = [tag("h4", "What leaked"), *leaked] if leaked else []
    parts += [tag("h4", "How the client ended"), *client_end(last)]
    return [*parts, connections(last)]


_PICTURES = 4  # chains of one case that are drawn
_SHOWN = 2 * 1024  # bytes of leaked data, and characters of the output of a client


def chains(run: Run, result: Result, name: str) -> list[ET.Element]:
    """Draw each chain that was met, those of attackers first."""
    if not result.attempts:
        return []
    attempt = result.attempts[-1]
    met: dict[tuple[object, ...], Connection] = {}
    for seen in attempt.connections:
        if served(seen):
            met.setdefault((served(seen), asked(attempt, seen)), seen)
    attackers_first = sorted(met.values(), key=lambda seen: not seen.exposed)
    return [
        _figure(run, result, attempt, seen, f"{name}-{number}")
        for number, seen in enumerate(attackers_first[:_PICTURES])
    ]


def _figure(run: Run, result: Result, attempt: Attempt, seen: Connection, name: str) -> ET.Element:
    chain = served(seen)
    picture = draw_chain(chain, scene(run, result, attempt, seen), name)
    caption = f"Presented by the {server(seen)} for {asked(attempt, seen)}"
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
    """Yield the data that the client gave away, unless the verdict is that it gave none."""
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
    """Return a table of every connection, in order."""
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
        asked(attempt, seen),
        ", ".join(filter(None, tls)),
        f"alert {seen.alert}" if seen.alert else seen.problem or "closing",
        _received(seen),
    )


def _received(seen: Connection) -> str:
    """Return how much the client sent, and how much of it leaked."""
    total, given = len(seen.clear) + len(seen.data), len(seen.said) if seen.exposed else 0
    if not given:
        return f"{total} bytes"
    return f"{total} bytes, {given if given < total else 'all'} given away"


def client_end(attempt: Attempt) -> Iterator[ET.Element]:
    """Yield how the client ended, and the last part of its output."""
    yield tag("p", f"{ending(attempt.ending)}.")
    if attempt.ending.output.strip():
        shown = attempt.ending.output[-_SHOWN:]
        words = "the end of what it printed"
        yield tag("pre", shown, tabindex="0", aria_label=words)
