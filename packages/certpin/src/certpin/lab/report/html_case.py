"""One case of a lab run as HTML: verdict, advice, pictures of its chains, and the evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lab.report.flaws import chain_context, requested_host, served
from certpin.lab.report.picture import draw_chain
from certpin.lab.report.words import EXPECTED, OUTCOMES, ending, server, verdict_line
from certpin.lab.verdict import NEEDS_ATTENTION, WAYS, Outcome, Verdict, judge
from certpin.support.markup import icon, tag
from certpin.support.text import readable, sentence
from certpin.x509.chain import read_facts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from xml.etree import ElementTree as ET

    from certpin.lab.runner import Result, Run
    from certpin.lab.verdict import Attempt, Connection
    from certpin.support.markup import Child
    from certpin.x509.chain import CertificateFacts


def finding(run: Run, result: Result, index: int, level: str = "h3") -> ET.Element:
    """Return a case that needs attention as an HTML article, with all details.

    Args:
        run: the lab run.
        result: the result of the case.
        index: the number of the result in the run, for anchors.
        level: the HTML heading element for the case's name, such as ``h3``.
    """
    title = tag(level, result.case.name, id=f"case-{index}-title", class_="case-name")
    return tag(
        "article",
        tag("header", title, badge(result.outcome, OUTCOMES[result.outcome])),
        *_body(run, result, index),
        class_=f"case {_css_class(result.outcome)}",
        id=f"case-{index}",
        aria_labelledby=f"case-{index}-title",
    )


def folded(run: Run, result: Result, index: int) -> ET.Element:
    """Return a case that needs no attention as an HTML element that the reader can expand.

    ``index`` is the number of the result in the run, for anchors.
    """
    description = result.why if result.outcome is Outcome.NOT_RUN else result.case.presents
    summary = tag(
        "summary",
        tag("span", result.case.name, class_="name"),
        badge(result.outcome, OUTCOMES[result.outcome]),
        tag("span", description, class_="presents"),
    )
    inside = tag("div", *_body(run, result, index), class_="case")
    return tag("details", summary, inside, id=f"case-{index}", class_="folded")


def _body(run: Run, result: Result, index: int) -> list[ET.Element]:
    """Return the HTML of a case below its name: verdict, advice, chains and evidence.

    Args:
        run: the lab run.
        result: the result of the case.
        index: the number of the result in the run, for anchors.
    """
    parts = [tag("p", f"{sentence(verdict_line(result))}.", class_="lead")]
    if result.outcome in NEEDS_ATTENTION:
        parts.append(fix_box(result.advice, result.case.reference))
    pictures = _chains(run, result, f"case-{index}")
    drawn = tag("div", *pictures, class_="pictures") if pictures else None
    parts.append(tag("div", drawn, _words(result, index), class_="evidence"))
    return parts


def fix_box(fix: str, reference: str = "") -> ET.Element:
    """Return an HTML box with a fix, and with the reference for it if there is one."""
    return tag(
        "div",
        tag("h4", "Fix"),
        tag("p", f"{sentence(fix)}."),
        tag("p", f"See {reference}.", class_="quiet") if reference else None,
        class_="advice",
    )


def _words(result: Result, index: int) -> ET.Element:
    case = result.case
    tries = len(result.attempts)
    known = facts_list(
        {
            "Served": case.presents,
            "Expected": f"a client like this {EXPECTED[result.expect]}",
            "Evidence": result.why,
            "Checks": case.guards,
            "Tried": f"{tries} times: {_verdicts(result)}" if tries > 1 else None,
        }
    )
    return tag("div", known, *_seen(result, index), class_="words")


def _verdicts(result: Result) -> str:
    return ", ".join(str(judge(attempt).verdict or "not reached") for attempt in result.attempts)


def _seen(result: Result, index: int) -> list[ET.Element]:
    if not result.attempts:
        return []
    last = result.attempts[-1]
    # Data sent to an honest server is private.
    leaked = list(_leaks(result)) if result.outcome in NEEDS_ATTENTION else []
    parts = [tag("h4", "What leaked"), *leaked] if leaked else []
    parts += [tag("h4", "How the client ended"), *_client_end(last)]
    # The number makes the name unique: the control is run twice.
    caption = f"Connections that the lab saw in case {index + 1}, {result.case.name}"
    return [*parts, _connections(last, caption)]


_PICTURES = 4  # chains of one case that are drawn
_SHOWN = 2 * 1024  # bytes of leaked data, and characters of the output of a client


def _chains(run: Run, result: Result, name: str) -> list[ET.Element]:
    """Return a picture of each chain that a case served, the chains of attackers first.

    Args:
        run: the lab run.
        result: the result of the case. Its last attempt (run of the client) is shown.
        name: the beginning of the pictures' names, for HTML ids.
    """
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
    return facts_list(
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


def _leaks(result: Result) -> Iterator[ET.Element]:
    """Yield the HTML of the data that the client leaked in its last run against a case.

    Yield nothing if the client refused the attack. ``result`` is the result of the case.
    """
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
    """Return the leaked data as HTML, with the canary marked. Long data is cut.

    The canary is the secret that the lab gave to the client.
    """
    text = readable(data[:_SHOWN])
    before, found, after = text.partition(canary) if canary else (text, "", "")
    more = len(data) - _SHOWN
    cut = f"\n… and {more} bytes more" if more > 0 else None
    return [before, tag("mark", found) if found else None, after.rstrip("\n"), cut]


def _connections(attempt: Attempt, caption: str) -> ET.Element:
    """Return an HTML table of the connections in one run of the client (``attempt``), in order.

    The table has the first 50 connections, and the text ``caption`` as its caption.
    """
    if not attempt.connections:
        return tag("p", "The client made no connection.")
    rows = [_row(number, attempt, seen) for number, seen in enumerate(attempt.connections[:50], 1)]
    head = ("No.", "Server", "Asked for", "Way", "TLS", "Ended by", "Client data")
    return scroll_table(caption, head, rows)


def _row(number: int, attempt: Attempt, seen: Connection) -> tuple[Child, ...]:
    tls = [seen.version or "not finished", seen.alpn, "resumed" if seen.resumed else ""]
    if seen.client_certificate:
        given = read_facts(seen.client_certificate).subject or "unreadable"
        tls.append(f"client certificate {given}")
    return (
        str(number),
        server(seen) or "none",
        requested_host(attempt, seen),
        WAYS.get(seen.via, seen.via),
        ", ".join(filter(None, tls)),
        f"alert {seen.alert}" if seen.alert else seen.problem or "closing",
        _received(seen),
    )


def _received(seen: Connection) -> str:
    """Return a text with the number of bytes that the client sent on a connection.

    If some of them leaked, the text also has their number. ``seen`` is the evidence of the
    connection.
    """
    total, given = len(seen.clear) + len(seen.data), len(seen.said) if seen.exposed else 0
    if not given:
        return f"{total} bytes"
    return f"{total} bytes, {given if given < total else 'all'} given away"


def _client_end(attempt: Attempt) -> Iterator[ET.Element]:
    """Yield the HTML that describes how the client ended, with the end of the client's output.

    ``attempt`` is one run of the client against a case.
    """
    yield tag("p", f"{ending(attempt.ending)}.")
    if attempt.ending.output.strip():
        shown = attempt.ending.output[-_SHOWN:]
        words = "the end of its output"
        yield tag("pre", shown, tabindex="0", aria_label=words)


def facts_list(pairs: dict[str, Child]) -> ET.Element:
    """Return an HTML list of names and values (``pairs``). Entries without a value are left out."""
    listed = tag("dl", class_="facts")
    for name, value in pairs.items():
        if value is not None and value != "":
            listed.append(tag("div", tag("dt", name), tag("dd", value)))
    return listed


def scroll_table(caption: str, head: tuple[str, ...], rows: list[tuple[Child, ...]]) -> ET.Element:
    """Return an HTML table that scrolls on narrow screens. Its first column has row headers.

    Args:
        caption: the caption of the table.
        head: the headings of the columns.
        rows: the cells of each row.
    """
    body = tag("tbody")
    for first, *others in rows:
        body.append(tag("tr", tag("th", first, scope="row"), *(tag("td", c) for c in others)))
    header = tag("thead", tag("tr", *(tag("th", name, scope="col") for name in head)))
    whole = tag("table", tag("caption", caption), header, body)
    return tag("div", whole, class_="scroll", role="region", aria_label=caption, tabindex="0")


_OF_OUTCOME = {
    Outcome.RIGHT: "check",
    Outcome.WRONG: "cross",
    Outcome.WARNING: "warning",
    Outcome.TOLD: "scales",
    Outcome.UNDECIDED: "question",
    Outcome.NOT_RUN: "dash",
}


def badge(outcome: Outcome, words: str) -> ET.Element:
    """Return the outcome of a case as HTML: an icon, and the text ``words``.

    ``outcome`` selects the icon and its colour.
    """
    return tag("span", icon(_OF_OUTCOME[outcome]), words, class_=f"badge {_css_class(outcome)}")


def _css_class(outcome: Outcome) -> str:
    """Return the CSS class that gives the outcome of a case its colour."""
    return outcome.value.replace(" ", "-")
