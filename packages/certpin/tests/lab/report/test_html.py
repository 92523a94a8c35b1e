"""The HTML report loads nothing from elsewhere, is safe with hostile input, and is accessible."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from functools import cache, partial
from html.parser import HTMLParser
from itertools import pairwise, product
from typing import TYPE_CHECKING

import pytest

from certpin.lab.pki import LETTERS, Style
from certpin.lab.report import FORMATS
from certpin.lab.runner import Run
from certpin.lab.verdict import Outcome, Verdict
from certpin.support.markup import tag, write
from tests.lab._clients import MADE_CASES
from tests.lab.report import _runs

if TYPE_CHECKING:
    from collections.abc import Callable

    from certpin.lab.case import Case
    from certpin.lab.runner import Result

pytestmark = pytest.mark.slow  # each draws the whole matrix

VOID_ELEMENTS = {"meta", "br", "hr", "img", "link", "input"}
# The elements of the page; any other element would come from hostile input.
OURS = {
    *("html", "head", "meta", "title", "style", "body", "main", "section", "article", "header"),
    *("footer", "h1", "h2", "h3", "h4", "p", "ul", "li", "dl", "div", "dt", "dd", "span", "strong"),
    *("table", "caption", "thead", "tbody", "tr", "th", "td", "a", "code", "pre", "mark", "figure"),
    *("figcaption", "details", "summary", "svg", "desc", "g", "path", "rect", "text"),
}
OUR_ATTRIBUTES = {
    *("charset", "http-equiv", "content", "name", "lang", "class", "id", "href", "scope", "role"),
    *("tabindex", "aria-label", "aria-labelledby", "aria-hidden", "viewbox", "width", "height"),
    *("d", "x", "y", "rx", "transform"),
}
MADE: dict[str, Callable[[], Run]] = {
    "every outcome": _runs.every_outcome,
    "hostile": _runs.hostile_run,
    "nothing": lambda: Run(_runs.HOST, Style.LEAF, ()),
    **{
        f"matrix {style} {gives}": partial(_runs.of_every_case, style, gives=gives)
        for style, gives in product(Style, (True, False))
    },
}


class Page(HTMLParser):
    """A parsed HTML report, with its elements, texts and elements that are still open.

    It raises AssertionError if an end tag does not match.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID_ELEMENTS:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(self.texts)


@cache
def _made(which: str) -> str:
    return FORMATS["html"](MADE[which]())


def _page(run: Run) -> Page:
    return Page(FORMATS["html"](run))


@pytest.mark.parametrize("which", MADE)
def test_page_has_only_known_elements(which: str) -> None:
    page = Page(_made(which))
    assert not page.open
    assert {tag for tag, _ in page.elements} <= OURS
    assert {name for _, attributes in page.elements for name in attributes} <= OUR_ATTRIBUTES


@pytest.mark.parametrize("which", MADE)
def test_page_loads_nothing_and_has_no_external_links(which: str) -> None:
    page = Page(_made(which))
    assert all(link["href"].startswith("#case-") for link in page.all("a"))
    text = _made(which)
    style = text.partition("<style>")[2].partition("</style>")[0]
    assert not re.search(r"url\(|@import|expression", style)


def test_the_policy_allows_the_one_style_sheet_and_nothing_else() -> None:
    text = FORMATS["html"](_runs.hostile_run())
    style = text.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    (policy,) = [
        meta["content"]
        for meta in Page(text).all("meta")
        if meta.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def test_hostile_strings_are_shown_as_text() -> None:
    page = _page(_runs.hostile_run())
    assert "<script>alert(1)</script>]]>&amp;\"'\\x00" in page.text
    assert "<b>root</b>" in page.text
    assert "<img src=x onerror=alert(1)>" in page.text
    letters = set(page.text) - {"\n", "\t"}
    assert all(letter.isprintable() for letter in letters)
    assert "hunter2" not in page.text
    FORMATS["html"](_runs.hostile_run()).encode("utf-8")  # no lone surrogate


def test_attributes_are_escaped() -> None:
    written = write(tag("p", aria_label=_runs.HOSTILE))
    ((_, attributes),) = Page(written).elements
    assert attributes["aria-label"].startswith("<script>alert(1)</script>]]>&amp;\"'\\x00")
    assert attributes["aria-label"].isprintable()


def test_top_has_the_headline_and_the_numbers() -> None:
    page = _page(_runs.every_outcome())
    assert "1 of 2 attacks got through" in page.text
    assert "1 of 2" in page.text
    assert "attacks stopped" in page.text
    assert "honest servers accepted" in page.text
    assert page.text.index("attacks got through") < page.text.index("The controls")
    assert page.text.index("The controls") < page.text.index("What must be fixed")
    assert page.text.index("What must be fixed") < page.text.index("Everything else")


def test_a_finding_shows_what_leaked_how_the_client_ended_and_the_advice() -> None:
    page = _page(_runs.every_outcome())
    for part in ("What leaked", _runs.CANARY, "How the client ended", "exit status 0"):
        assert part in page.text
    assert "Fix" in page.texts
    assert any(_runs.BY_NAME["rogue-ca-in-store"].fix[1:] in text for text in page.texts)


def test_the_canary_is_marked_where_it_leaked() -> None:
    assert f"<mark>{_runs.CANARY}</mark>" in FORMATS["html"](_runs.every_outcome())


def test_data_sent_to_an_honest_server_is_not_shown() -> None:
    page = FORMATS["html"](_runs.run((_runs.met(_runs.BY_NAME["untrusted-ca"], gives=False),)))
    assert _runs.CANARY not in page


@pytest.mark.parametrize("write", [_runs.refused_too_late, _runs.hung])
def test_an_honest_server_is_no_attacker_and_nothing_is_given_away(
    write: Callable[[Case, Style], Result],
) -> None:
    """The report names no attacker and no leak if a client refuses an honest server late.

    The same holds for a client that sends its data to an honest server and then hangs.
    """
    honest = [case for case in MADE_CASES if not case.scenario(_runs.pki(Style.CA)).attacks]
    assert len(honest) >= 11
    run = _runs.run([write(case, Style.CA) for case in honest], Style.CA)
    page = _page(run)
    assert {"attacker", "What leaked"}.isdisjoint(page.texts)
    assert not [text for text in page.texts if "given away" in text or "by the attacker" in text]
    assert "Presented by the honest server for api.bank.example" in page.texts
    assert _runs.CANARY not in page.text
    connections = [
        connection
        for result in json.loads(FORMATS["json"](run))["results"]
        for attempt in result["attempts"]
        for connection in attempt["connections"]
    ]
    assert {(connection["met"], connection["hostile"]) for connection in connections} == {
        ("honest server", False)
    }


def test_server_and_leaked_bytes_are_named() -> None:
    page = _page(_runs.every_outcome())
    assert "Presented by the attacker for api.bank.example" in page.texts
    assert {"attacker", "honest server"} <= set(page.texts)
    assert any(re.fullmatch(r"\d+ bytes, all given away", text) for text in page.texts)


def test_redirect_to_another_host_is_distinguished_from_an_attacker() -> None:
    names = ("redirect-to-unpinned-host", "http2-coalescing")
    redirected, shared = (_runs.met(_runs.BY_NAME[name], gives=True) for name in names)
    seen = shared.attempts[0].connections[0]
    seen.astray = seen.data[:10]
    judged = replace(shared, verdict=Verdict.ACCEPT, outcome=Outcome.WRONG)
    page = _page(_runs.run((redirected, judged)))
    assert "Presented by the host without pins for api.bank.example" in page.texts
    assert "attacker" not in page.texts
    assert f"{len(seen.data)} bytes, 10 given away" in page.texts
    assert f"{len(seen.astray)} bytes on connection 1, under TLS" in page.texts


def test_the_letters_of_the_cases_are_explained() -> None:
    page = _page(_runs.every_outcome())
    assert {*LETTERS, *LETTERS.values()} <= set(page.texts)
    assert page.text.index("The letters") < page.text.index("What must be fixed")


def test_what_leaked_is_bounded() -> None:
    longest = max(len(text) for text in _page(_runs.hostile_run()).texts[1:])
    assert longest < 20_000
    assert "bytes more" in _page(_runs.hostile_run()).text


@pytest.mark.parametrize("style", [Style.LEAF, Style.CA])
def test_an_attack_on_these_pins_is_under_no_legitimate_change(style: Style) -> None:
    leaf = style is Style.LEAF
    renewed = _runs.met(_runs.BY_NAME["rot-new-key-pinned-ca"], gives=not leaf, style=style)
    text = FORMATS["html"](_runs.run((renewed,), style))
    assert ("<h3>Whose authority?</h3>" in text) is leaf
    assert ("<h3>Legitimate changes</h3>" in text) is not leaf
    assert ("MASTG-TEST-0244: with pins on the server's key it is the attack" in text) is leaf


@pytest.mark.parametrize("which", MADE)
def test_ids_are_unique_and_references_exist(which: str) -> None:
    page = Page(_made(which))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)
    for _, attributes in page.elements:
        named = attributes.get("aria-labelledby", "").split()
        named += [attributes["href"].removeprefix("#")] if "href" in attributes else []
        assert set(named) <= set(ids)


@pytest.mark.parametrize("which", MADE)
def test_headings_go_down_one_step_at_a_time(which: str) -> None:
    levels = [int(tag[1]) for tag, _ in Page(_made(which)).elements if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_tables_have_captions_and_headers_with_a_scope() -> None:
    page = _page(_runs.every_outcome())
    assert len(page.all("caption")) == len(page.all("table")) > 0
    assert {cell["scope"] for cell in page.all("th")} == {"col", "row"}


def test_pictures_have_descriptions_and_ornaments_have_none() -> None:
    for svg in _page(_runs.every_outcome()).all("svg"):
        assert svg.get("aria-hidden") == "true" or (
            svg["role"] == "img" and "title" in svg["aria-labelledby"]
        )


def test_a_cause_has_its_proof_and_its_fix_in_each_language() -> None:
    run = _runs.run((_runs.met(_runs.BY_NAME["rogue-ca-in-store"], gives=True),))
    page = _page(run)
    assert "Proof: rogue-ca-in-store (ACCEPT)." in page.text
    assert "The fix in each language" in page.texts
    assert {"Python", "Dart", "Kotlin", "Swift", "Go", "Node.js"} <= set(page.texts)


def test_the_client_its_way_and_its_tls_version_are_named() -> None:
    page = _page(_runs.every_outcome())
    assert "curl -sS -H … {url}" in page.texts
    assert page.texts[page.texts.index("Reached the lab through") + 1] == "no proxy"
    assert "Way" in page.texts
    assert any(text.startswith("TLSv1.3") for text in page.texts)


def _luminance(colour: str) -> float:
    """Return the relative luminance of a colour such as ``#1a2b3c``, as WCAG 2.2 defines it."""
    parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    bright, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_colours_have_enough_contrast(scheme: int) -> None:
    style = FORMATS["html"](_runs.every_outcome()).partition("<style>")[2]
    block = re.findall(r":root \{(.*?)\}", style, re.DOTALL)[scheme]
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))
    grounds = ("page", "card", "sunk")
    pairs = [*product(("text", "quiet", "good", "bad", "warn", "note"), grounds)]
    pairs += [(name, f"{name}-tint") for name in ("good", "bad", "warn", "note")]
    pairs += [*product(("text", "quiet"), ("good-tint", "bad-tint", "note-tint"))]
    pairs += [("note", "good-tint"), ("note", "bad-tint"), ("mark-text", "mark")]
    weak = [pair for pair in pairs if _contrast(*(colours[name] for name in pair)) < 4.5]
    assert not weak  # WCAG 2.2 AA, 1.4.3
